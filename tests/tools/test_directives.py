import pytest

from latentwave.errors import UserError
from tools.directives import Directive, blocks, parse

TABLE = "<!-- results: demo table -->\nold\n<!-- end of results -->\n"


def parts(page):
    return list(blocks(page, "page.md"))


def test_a_page_without_blocks_is_one_text():
    assert parts("# Title\n\ntext\n") == ["# Title\n\ntext\n"]


def test_a_block_is_cut_out_between_its_markers():
    before, block, after = parts(f"above\n\n{TABLE}below\n")
    assert before == "above\n\n<!-- results: demo table -->"
    assert (block.sources, block.show, block.place) == (("demo",), "table", "page.md:3")
    assert after == "<!-- end of results -->\nbelow\n"


def test_values_stand_in_sentences():
    page = "a <!-- results: demo value loss contestant=w -->1<!-- end of results --> b, "
    directives = [part for part in parts(page * 2) if isinstance(part, Directive)]
    assert [d.arguments for d in directives] == [("loss",), ("loss",)]


def test_markers_in_fenced_code_are_text():
    page = f"````markdown\n```\n{TABLE}```\n````\n"
    assert parts(page) == [page]
    assert len(parts(page + TABLE)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("demo", "must name a source and what to show"),
        ("demo tabel", "'tabel' is not something to show: choose table"),
        ("demo table loss", "takes no word, got 'loss'"),
        ("demo table colums=loss", "no option 'colums'; it has contestants, columns, sort"),
        ("demo table columns=", "'columns=' must give 'columns' one value"),
        ("demo table sort=loss sort=gain", "must give 'sort' one value"),
        ("demo value loss", "'value' needs contestant="),
        ("demo value contestant=none", "takes COLUMN, got none"),
        ("a,b figure loss.png caption", "'a,b' must be one folder or file"),
        ("a,,b table", "must be one folder or file"),
        ("demo figure loss.png", "takes FILE \"caption\", got 'loss.png'"),
        ('demo figure loss.png "cap', "No closing quotation"),
        ("generate.txt text", "'text' needs command="),
    ],
)
def test_a_mistake_names_page_line_and_what_is_wrong(text, message):
    with pytest.raises(UserError, match=r"^page\.md:7: ") as error:
        parse(text, "page.md:7")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("x\n<!-- results: demo table -->\n", "page.md:2: the block has no"),
        ("<!-- end of results -->\n", "page.md:1: '<!-- end of results -->' is no first marker"),
        ("\n<!--results: demo table-->\n", "page.md:2: .* is no first marker"),
        ("<!-- result: demo table -->\n", "page.md:1: .* is no first marker"),
        (TABLE.partition("<!-- end")[0] * 2, "page.md:3: .* stands inside the block of page.md:1"),
        (TABLE.replace("end of results", "end of result"), "page.md:3: .* stands inside"),
        (TABLE.replace("\nold", "old"), "page.md:1: the markers of 'table' must stand on lines"),
        ("text " + TABLE, "page.md:1: the markers of 'table' must stand on lines"),
        (TABLE.replace("old\n", "old "), "page.md:1: the markers of 'table' must stand on lines"),
        (TABLE.replace("table", "value loss contestant=w"), "page.md:1: 'value' and its"),
    ],
)
def test_markers_that_do_not_pair_are_refused(page, message):
    with pytest.raises(UserError, match=f"^{message}"):
        parts(page)


def test_lists_hold_each_word_once():
    with pytest.raises(UserError, match=r"columns=loss,loss must be words"):
        parse("demo table columns=loss,loss", "page.md:1").list_of("columns")
