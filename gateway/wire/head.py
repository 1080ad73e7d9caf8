"""The head of an HTTP/1.1 message as bytes. Its law: nobody's header can bring in another line."""

from gateway.core.incoming import HeaderList


def write_head(first_line: str, headers: HeaderList) -> bytes:
    """The first line, the header fields, and the empty line that ends them.

    Raises ValueError for a line break inside any of them, or a character that no header can have.
    """
    lines = [first_line, *[f"{name}: {value}" for name, value in headers], "", ""]
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a line of a message's head has a line break in it")
    return head.encode("latin-1")
