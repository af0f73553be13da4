import json
import shutil
from pathlib import Path

import pytest

from tools.pages import main

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture
def repository(tmp_path):
    """Results and one page, to be filled."""
    for name in ("demo", "text-small", "listops-small", "tagging-small"):
        shutil.copytree(RECORDED / name, tmp_path / "results" / name)
    for figure in ("loss.png", "loss-steps.png"):
        (tmp_path / "results" / "demo" / figure).touch()
    shutil.copy(RECORDED / "generate.txt", tmp_path / "results")
    (tmp_path / "docs").mkdir()
    return tmp_path


def written(repository, *lines):
    """What `make results` makes of a page with one block or sentence."""
    page = repository / "docs" / "page.md"
    page.write_text("\n".join([*lines, ""]))
    assert main([], repository) == 0
    text = page.read_text()
    assert main(["--check"], repository) == 0
    return text


def block(directive):
    return f"<!-- results: {directive} -->", "<!-- end of results -->"


def rows(text):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_a_table_has_a_row_for_each_contestant_and_its_origin_below(repository):
    text = written(repository, *block("demo table columns=loss,rate,steps"))
    assert rows(text) == [
        ["contestant", "final loss, nats per token", "tokens/s", "speed-up in steps"],
        ["---", "---:", "---:", "---:"],
        ["`none`", "2.561 [2.556, 2.564]", "14.5 k", "1×"],
        ["`wavelet`", "1.814 [1.797, 1.829]", "13.7 k", "5.9× [5.7, 6.0]"],
    ]
    origin = text.splitlines()[-3]
    for fact in (
        "(../results/demo/results.json)",
        "`latentwave compare recipes/demo.yaml --seeds '[0,1,2]' --output runs/demo --resume`",
        "commit c1c1a8f",
        "seeds 0, 1, 2",
        "Intel(R) Xeon(R) Processor, 2 cores, 2 threads, torch 2.13.0+cpu",
        "seconds as recorded",
    ):
        assert fact in origin


def test_the_picture_of_one_run_has_its_command_and_no_seeds_and_all_commits_are_named(repository):
    file = repository / "results" / "demo" / "results.json"
    results = json.loads(file.read_text())
    results["commits"] = ["0123456789ab", "fedcba987654-dirty"]
    file.write_text(json.dumps(results))
    (repository / "results" / "demo" / "kernels.png").touch()
    text = written(repository, *block('demo figure kernels.png "Kernels" command="inspect it"'))
    assert "`inspect it` · commits 0123456, fedcba9-dirty · Intel" in text
    text = written(repository, *block('demo figure kernels.png "Kernels"'))
    assert "seeds 0, 1, 2" in text


def test_contestants_are_chosen_and_sorted(repository):
    directive = "text-small table contestants=wavelet,none,short_conv columns=gain sort=-gain"
    table = rows(written(repository, *block(directive)))
    assert [row[0] for row in table[2:]] == ["`wavelet`", "`short_conv`", "`none`"]
    assert [row[1] for row in table[2:]] == ["0.637", "0.556", "—"]


def test_several_comparisons_make_one_table(repository):
    directive = (
        "text-small,listops-small,tagging-small table contestants=wavelet,filterbank "
        "columns=baseline,baseline-loss,gain,bits,accuracy,steps sort=gain"
    )
    text = written(repository, *block(directive))
    head, _, *table = rows(text)
    assert head[:2] == ["comparison", "contestant"]
    assert table == [
        ["`tagging-small`", "`filterbank`", "`none`", "0.300", "−0.284", "—", "0.883 (test)",
         "0.80×, not reached"],
        ["`listops-small`", "`wavelet`", "`none`", "1.673", "−0.021", "—", "0.364 (test)",
         "0.68×, not reached"],
        ["`text-small`", "`wavelet`", "`none`", "2.358", "0.637", "2.484 per character", "—",
         "8.8×"],
    ]  # fmt: skip
    assert text.count("one seed (0), no interval") == 3


def test_a_value_stands_in_its_sentence(repository):
    start, end = block("demo value loss contestant=wavelet")
    assert f"at {start}1.814 [1.797, 1.829]{end} nats" in written(
        repository, f"It ends at {start}{end} nats."
    )


def test_figures_commands_and_texts(repository):
    text = written(repository, *block('demo figure loss-steps.png "Loss, by steps"'))
    assert "![Loss, by steps](../results/demo/loss-steps.png)\n\n<sub>" in text
    text = written(repository, *block('demo figure loss.png "x" command="make drawing"'))
    assert "`make drawing`" in text
    assert "latentwave compare" not in text
    text = written(repository, *block("demo command"))
    assert "```sh\nlatentwave compare recipes/demo.yaml --seeds" in text
    text = written(repository, *block('generate.txt text command="make bench"'))
    assert "```text\n# generating 100 tokens behind 64" in text
    assert "<sub>`make bench`: [results/generate.txt](../results/generate.txt)</sub>" in text


def test_one_section_of_a_text(repository):
    (repository / "results" / "two.txt").write_text("# one\na 1\n# two\nb 2\n")
    text = written(repository, *block('two.txt text section="two" command="x"'))
    assert "```text\n# two\nb 2\n```" in text


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("nowhere table", "there is no results/nowhere/results.json"),
        ("demo table columns=los", "there is no column 'los'; choose loss, gain"),
        ("demo table sort=-los", "there is no column 'los'"),
        ("demo table contestants=ema", "there is no contestant 'ema'; choose none, wavelet"),
        ('demo figure no.png "x"', "there is no results/demo/no.png"),
        ('generate.txt text section="x" command="y"', "no section 'x' there; choose generating"),
    ],
)
def test_a_mistake_in_a_block_is_one_line_with_its_place(repository, capsys, directive, message):
    page = repository / "docs" / "page.md"
    page.write_text("\n".join(["# Title", "", *block(directive), ""]))
    for arguments in ([], ["--check"]):
        assert main(arguments, repository) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: docs/page.md:3: {message}")
        assert error.count("\n") == 1


def test_a_changed_page_fails_the_check_with_the_difference(repository, capsys):
    text = written(repository, *block("demo table"))
    page = repository / "docs" / "page.md"
    page.write_text(text.replace("1.814", "1.714"))
    capsys.readouterr()
    assert main(["--check"], repository) == 1
    assert "1.714" in page.read_text()
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["--- docs/page.md", "+++ docs/page.md (from results/)"]
    assert any(line.startswith("-| `wavelet` | 1.714") for line in shown)
    assert any(line.startswith("+| `wavelet` | 1.814") for line in shown)


def test_results_edited_by_hand_fail_the_check(repository, capsys):
    written(repository, *block("demo table"))
    file = repository / "results" / "demo" / "results.json"
    file.write_text(file.read_text().replace('"mean": 1.814384', '"mean": 1.714384'))
    capsys.readouterr()
    assert main(["--check"], repository) == 2
    assert "contestants.wavelet.final_loss.mean is 1.714384" in capsys.readouterr().err
