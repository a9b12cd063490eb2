"""A page is done as it is written, or the test that does it fails."""

from pathlib import Path

import pytest
from recipes import Recipe, change

PAGE = """# Title

## First

Read this.

```console
$ one --two
$ three
```

```python
# made/here.py
x = 1
```

```bash
rm -rf /
```

```diff
--- made/here.py
-x = 1
+x = 2
@@
+y = 3
```

## Second

```console
$ four
```
"""


def test_a_section_is_done_in_its_order_and_no_other(tmp_path: Path) -> None:
    typed: list[str] = []

    Recipe(PAGE).follow("First", tmp_path, typed.append)

    assert typed == ["one --two", "three"]
    assert (tmp_path / "made" / "here.py").read_text() == "# made/here.py\nx = 2\ny = 3\n"

    Recipe(PAGE).follow("Second", tmp_path, typed.append)

    assert typed[2:] == ["four"]


@pytest.mark.parametrize("text", ["x = 3\n", "x = 1\nx = 1\n"])
def test_what_a_diff_takes_must_be_there_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.py").write_text(text)

    with pytest.raises(AssertionError, match=r"file\.py has . times"):
        change(tmp_path, "--- file.py\n-x = 1\n+x = 2\n")
