"""An account of the parts of a mesh file that the mesh does not show."""

from dataclasses import dataclass, field

_NAMES_SHOWN = 3


@dataclass
class Notes:
    """Counts of things that a file holds and the mesh does not, by kind, with the first few names."""

    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str = "", count: int = 1) -> None:
        """Count ``count`` more of ``kind``, a noun phrase in the singular; a name counts once."""
        known = self.names.setdefault(kind, [])
        if not count or (name and name in known):
            return
        if name:
            known.append(name)
        self.counts[kind] = self.counts.get(kind, 0) + count

    def text(self) -> str:
        """All kinds in one line, such as ``2 missing textures ('a.png', 'b.png'), 1 line``; empty if none."""
        return ", ".join(self._one(kind, count) for kind, count in self.counts.items() if count)

    def _one(self, kind: str, count: int) -> str:
        names = self.names[kind]
        shown = ", ".join(f"'{_printable(name)}'" for name in names[:_NAMES_SHOWN])
        more = ", …" if len(names) > _NAMES_SHOWN else ""
        return f"{count} {_plural(kind) if count != 1 else kind}" + (f" ({shown}{more})" if shown else "")


def _plural(kind: str) -> str:
    """The plural of a noun phrase; what follows `` of ``, `` with ``, `` that `` or `` beside `` stays."""
    head, joint, rest = kind, "", ""
    for word in (" of ", " with ", " that ", " beside ", " without "):
        if word in kind:
            head, _, rest = kind.partition(word)
            joint = word
            break
    return head + ("es" if head.endswith(("s", "sh", "ch")) else "s") + joint + rest


def _printable(name: str) -> str:
    """The name without control characters, at most 80 characters long."""
    text = "".join(c if c.isprintable() else "?" for c in name)
    return text if len(text) <= 80 else text[:77] + "…"
