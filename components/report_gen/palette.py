"""Colours of things that are told apart: by most who do not see all colours, in light and dark."""

from __future__ import annotations

LIGHT = ("#2a4fc4", "#b4530a", "#0f766e", "#a21c6b", "#5b6b00", "#6d3fc0", "#1d1c1a", "#8a7a5c")
DARK = ("#8fa8ff", "#f0a35e", "#5fcabd", "#f58ac4", "#c3d34a", "#c3a5ff", "#eceae5", "#b8a98a")


def palette_style(prefix: str) -> str:
    """Returns the colours as CSS variables, `--PREFIX-1` and so on, and keys of these colours."""

    def variables(colours: tuple[str, ...]) -> str:
        return "".join(f"--{prefix}-{place}: {colour};" for place, colour in enumerate(colours, 1))

    keys = "".join(
        f".key.{prefix}-{place}::before {{ background: var(--{prefix}-{place}); }}\n"
        for place in range(1, len(LIGHT) + 1)
    )
    return (
        f"\n:root {{ {variables(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {variables(DARK)} }} }}\n"
        f"@media print {{ :root {{ {variables(LIGHT)} }} }}\n{keys}"
    )
