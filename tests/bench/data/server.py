"""A file server on loopback that fails as real ones do."""

import contextlib
import http.server
import re
import threading


class Server:
    """Serves files from memory.

    files: content by path; cut: bytes after which a connection is dropped, once per entry;
    ranges: whether parts may be asked for; codes: errors to answer with first; requests: path and
    range of what was asked for.
    """

    def __init__(self):
        self.files, self.cut, self.requests, self.ranges, self.codes = {}, [], [], True, []

    @contextlib.contextmanager
    def running(self):
        handler = type("Handler", (_Handler,), {"world": self})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        world = self.world
        wanted = self.headers.get("Range")
        world.requests.append((self.path, wanted))
        if world.codes:
            self.send_error(world.codes.pop(0))
            return
        content = world.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if wanted and world.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if world.cut:
            body = body[: world.cut.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_):
        pass
