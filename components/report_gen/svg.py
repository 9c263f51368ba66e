"""Makes drawings small: a page of a hundred genres has three hundred of them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

_SVG = "http://www.w3.org/2000/svg"
_GROUP = f"{{{_SVG}}}g"
# What a drawing that is read out as one sentence, and is not interactive, does without.
_NEEDLESS = re.compile(r"class|role|pointer-events|version|aria-.*")
_DEFAULTS = {"opacity": "1", "transform": "translate(0,0)", "stroke-dasharray": "", "d": ""}
_INHERITED = ("stroke", "stroke-width", "fill", "font-family", "font-size", "text-anchor")
_COORDINATES = ("d", "transform", "x2", "y2")
_DECIMALS = re.compile(r"(\.[0-9])[0-9]+")

ElementTree.register_namespace("", _SVG)


def compact(svg: str) -> str:
    """Returns a drawing that looks the same, in a third of the characters; the same if not XML."""
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError:
        return svg
    _compact(root)
    return ElementTree.tostring(root, encoding="unicode")


def _compact(element: ElementTree.Element) -> None:
    for child in list(element):
        if child.get("class") in ("background", "foreground"):  # invisible areas for the pointer
            element.remove(child)
        else:
            _compact(child)
    for name, value in list(element.items()):
        if _NEEDLESS.fullmatch(name) or _DEFAULTS.get(name) == value:
            del element.attrib[name]
        elif name in _COORDINATES:
            element.set(name, _DECIMALS.sub(r"\1", value))
    children = [inner for child in element for inner in _unwrapped(child)]
    element[:] = children
    if element.tag == _GROUP and len(children) > 1:
        for name in _INHERITED:
            shared = children[0].get(name)
            if shared is not None and all(child.get(name) == shared for child in children):
                element.set(name, shared)
                for child in children:
                    del child.attrib[name]


def _unwrapped(element: ElementTree.Element) -> list[ElementTree.Element]:
    return list(element) if element.tag == _GROUP and not element.attrib else [element]
