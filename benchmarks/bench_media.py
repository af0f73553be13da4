"""Preparing sound and music: MB/s of files, and what takes the time.

python benchmarks/bench_media.py --sounds FOLDER --music FOLDER
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import header, paired_seconds

from latentwave.bench.data import CorpusConfig, prepare
from latentwave.bench.data.audio import CODECS, read_audio
from latentwave.bench.data.audio.codec import MuLaw
from latentwave.bench.data.music import corpus
from latentwave.bench.data.music.codec import TOKENIZERS, tokenize
from latentwave.bench.data.music.midi import symusic


def made_sounds(folder: Path, *, seconds: int = 240) -> Path:
    """Noise at 44.1 kHz in stereo, as 16-bit WAV."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(2):
        frames = rng.normal(0, 3000, (seconds * 44100 // 2, 2)).astype("<i2")
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setparams((2, 2, 44100, 0, "NONE", ""))
            file.writeframes(frames.tobytes())
    return folder


def made_music(folder: Path, *, num_files: int = 60, num_notes: int = 3000) -> Path:
    """Random notes, as dense as fast piano music."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    package = symusic()
    for number in range(num_files):
        score = package.Score(480)
        onset = np.cumsum(rng.integers(0, 120, num_notes)).astype(np.int32)
        track = package.Track()
        track.notes = package.Note.from_numpy(
            onset,
            rng.integers(40, 400, num_notes).astype(np.int32),
            rng.integers(30, 90, num_notes).astype(np.int8),
            rng.integers(1, 128, num_notes).astype(np.int8),
        )
        score.tracks.append(track)
        score.dump_midi(str(folder / f"{number:03}.mid"))
    return folder


def preparation(config: CorpusConfig, home: Path) -> None:
    """One line: megabytes of files and tokens per second."""
    began = time.perf_counter()
    meta = prepare(config, home / f"{config.name}-{config.tokenizer_name}").metadata
    seconds = time.perf_counter() - began
    megabytes = sum(source.num_bytes for source in meta.provenance.sources) / 1e6
    print(
        f"prepare {config.name}, {config.tokenizer_name}: {megabytes:.1f} MB in {seconds:.2f} s, "
        f"{megabytes / seconds:.2f} MB/s; {meta.num_tokens:,} tokens, "
        f"{meta.num_tokens / seconds / 1e3:,.0f} k tokens/s"
    )


def stages_of_sound(folder: Path, rate: int) -> None:
    """Decoding alone, with resampling, with quantising."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())

    def all_of(use: Callable[[np.ndarray], object], at: int | None) -> Callable[[], None]:
        def run() -> None:
            for path in files:
                for block in read_audio(path, at or 44100):
                    use(block)

        return run

    seconds = paired_seconds(
        {
            "decode": all_of(len, None),
            "decode, resample": all_of(len, rate),
            "decode, resample, mu-law": all_of(MuLaw(rate).encode, rate),
        },
        repeats=3,
    )
    for name, value in seconds.items():
        print(f"  {name}: {value:.3f} s")


def processes_of_music(folder: Path) -> None:
    """All cores beside one."""
    paths = sorted((*folder.rglob("*.mid"), *folder.rglob("*.midi")))[:1000]

    def together() -> None:
        for _ in corpus.tokenize_files("midi-like", paths):
            pass

    def alone() -> None:
        for path in paths:
            tokenize("midi-like", path.read_bytes())

    corpus.PARALLEL_BYTES = 0
    seconds = paired_seconds({"one process": alone, "all cores": together}, repeats=3)
    for name, value in seconds.items():
        print(f"  {len(paths)} files, {name}: {value:.2f} s")
    print(f"  speed-up: {seconds['one process'] / seconds['all cores']:.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sounds", type=Path, help="folder of recordings; default: made ones")
    parser.add_argument("--music", type=Path, help="folder of MIDI files; default: made ones")
    options = parser.parse_args()
    header("preparation of sound and music")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.environ["LATENTWAVE_HOME"] = name
        sounds = options.sounds or made_sounds(home / "sounds")
        music = options.music or made_music(home / "music")
        for codec in CODECS:
            preparation(CorpusConfig(name="audio", path=str(sounds), tokenizer=codec.kind), home)
        stages_of_sound(sounds, 16000)
        for kind in TOKENIZERS:
            preparation(CorpusConfig(name="music", path=str(music), tokenizer=kind), home)
        processes_of_music(music)


if __name__ == "__main__":
    main()
