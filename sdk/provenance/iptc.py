"""The mark of pictures with upscaled faces: XMP with IPTC's digital source type, for machines, and a statement.

IPTC asks for `Iptc4xmpExt:DigitalSourceType`, and since 2025.1 for the system in `Iptc4xmpExt:AISystemUsed`; a
restriction on the use of a picture belongs into its `photoshop:Instructions`.
Source: https://www.iptc.org/std/photometadata/specification/IPTC-PhotoMetadata
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from ... import __version__
from ..pipeline.frame import ImageMetadata
from .statement import DIGITAL_SOURCE_TYPE, STATEMENT

SYSTEM, SYSTEM_VERSION = "facesr-edge", __version__
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_TAIL = '<?xpacket end="w"?>'
_EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'
_WHOLLY_SYNTHETIC = "trainedAlgorithmicMedia"
"""Says more than the term of upscaled faces: a picture that has it keeps it."""
MAX_PACKET, MAX_MARKUP = 1 << 20, 10_000
"""Bytes, and tags and attributes, of a packet that is read; larger ones would take seconds."""


def marked(metadata: ImageMetadata | None = None) -> ImageMetadata:
    """Metadata of a picture with upscaled faces: the XMP gets IPTC's term, the system and the statement.

    What the packet holds besides stays. A camera's term is replaced; that of a wholly synthetic picture stays. A packet
    that cannot be read, see `is_packet`, is replaced.

    Args:
        metadata: of the picture without the mark; None for a picture without metadata.
    """
    metadata = metadata or ImageMetadata()
    return replace(metadata, xmp=_marked_packet(metadata.xmp) or _marked_packet(b"") or b"")


def is_packet(xmp: bytes) -> bool:
    """Whether a block is an XMP packet that can be read, of at most `MAX_PACKET` bytes; so is an empty one."""
    return _marked_packet(xmp) is not None


def is_of_network(term: str) -> bool:
    """Whether a term says that a network made a picture or parts of it."""
    return term == DIGITAL_SOURCE_TYPE or _is_synthetic(term)


def source_type(xmp: bytes) -> str:
    """IPTC's digital source type of a packet, a URI; "" if it has none."""
    document = _parsed(xmp)
    values = [] if document is None else _values(_rdf(document), _IPTC, "DigitalSourceType")
    return values[0] if values else ""


@lru_cache(maxsize=16)  # the frames of a video have one packet
def _marked_packet(xmp: bytes) -> bytes | None:
    document = _parsed(xmp or _EMPTY.encode())
    if document is None:
        return None
    rdf = _rdf(document)
    term = next((value for value in _values(rdf, _IPTC, "DigitalSourceType") if _is_synthetic(value)), "")
    instructions = next(iter(_values(rdf, _PHOTOSHOP, "Instructions")), "").replace(STATEMENT, "").strip()
    properties = {
        (_IPTC, "Iptc4xmpExt", "DigitalSourceType"): term or DIGITAL_SOURCE_TYPE,
        (_IPTC, "Iptc4xmpExt", "AISystemUsed"): SYSTEM,
        (_IPTC, "Iptc4xmpExt", "AISystemVersionUsed"): SYSTEM_VERSION,
        (_PHOTOSHOP, "photoshop", "Instructions"): f"{instructions} {STATEMENT}".strip(),
    }
    subjects = [found.getAttributeNS(_RDF, "about") for found in _descriptions(rdf)]
    for namespace, _, name in properties:
        _remove(rdf, namespace, name)
    rdf.appendChild(_description(document, subjects[0] if subjects else "", properties))
    root = document.documentElement
    assert root is not None
    return "\n".join((_HEAD, root.toxml(), _TAIL)).encode(errors="replace")


def _is_synthetic(term: str) -> bool:
    """Only as IPTC writes it: a video keeps it as it is."""
    return term.rstrip("/").rpartition("/")[2] == _WHOLLY_SYNTHETIC


def _parsed(xmp: bytes) -> minidom.Document | None:
    """The document of a packet; None if it cannot be read, is too large, or declares entities, as XMP never does."""
    try:
        if not xmp or len(xmp) > MAX_PACKET or xmp.count(b"<") + xmp.count(b"=") > MAX_MARKUP:
            return None
        if "<!" in xmp.decode().replace("<![CDATA[", "").replace("<!--", ""):
            return None
        document = minidom.parseString(xmp.strip(b"\0 \r\n\t"))
        document.toxml()  # nested too deeply to be written
    except (ExpatError, UnicodeError, ValueError, RecursionError):
        return None
    return document if document.getElementsByTagNameNS(_RDF, "RDF") else None


def _rdf(document: minidom.Document) -> minidom.Element:
    return document.getElementsByTagNameNS(_RDF, "RDF")[0]


def _descriptions(rdf: minidom.Element) -> list[minidom.Element]:
    """Those of the picture; others describe values."""
    return [
        node
        for node in rdf.childNodes
        if isinstance(node, minidom.Element) and (node.namespaceURI, node.localName) == (_RDF, "Description")
    ]


def _values(rdf: minidom.Element, namespace: str, name: str) -> list[str]:
    """Values of a simple property, which is an attribute or an element."""
    values = []
    for description in _descriptions(rdf):
        if description.hasAttributeNS(namespace, name):
            values.append(description.getAttributeNS(namespace, name))
        for element in _elements(description, namespace, name):
            texts = [node.data for node in element.childNodes if isinstance(node, minidom.Text)]
            values.append("".join(texts).strip() or element.getAttributeNS(_RDF, "resource"))
    return values


def _elements(description: minidom.Element, namespace: str, name: str) -> list[minidom.Element]:
    return [
        node
        for node in description.childNodes
        if isinstance(node, minidom.Element) and (node.namespaceURI, node.localName) == (namespace, name)
    ]


def _remove(rdf: minidom.Element, namespace: str, name: str) -> None:
    empty = []
    for description in _descriptions(rdf):
        if description.hasAttributeNS(namespace, name):
            description.removeAttributeNS(namespace, name)
        _remove_children(description, _elements(description, namespace, name))
        if not description.childNodes and not _attributes(description):
            empty.append(description)
    _remove_children(rdf, empty)


def _remove_children(parent: minidom.Element, removed: list[minidom.Element]) -> None:
    """At once: `removeChild` searches the list for each."""
    if removed:
        gone = {id(node) for node in removed}
        parent.childNodes[:] = [node for node in parent.childNodes if id(node) not in gone]


def _attributes(description: minidom.Element) -> list[minidom.Attr]:
    """Properties that are attributes: not those of namespaces, nor the subject."""
    attributes = description.attributes.values()
    return [
        found for found in attributes if isinstance(found, minidom.Attr) and found.namespaceURI not in (_XMLNS, _RDF)
    ]


def _description(
    document: minidom.Document, about: str, properties: dict[tuple[str, str, str], str]
) -> minidom.Element:
    """A further description of the same picture, with prefixes of its own."""
    prefix = _rdf(document).tagName.rpartition(":")[0]
    qualified = f"{prefix}:" if prefix else ""
    description = document.createElementNS(_RDF, f"{qualified}Description")
    if prefix:
        description.setAttributeNS(_RDF, f"{qualified}about", about)
    else:  # attributes without a prefix have no namespace
        description.setAttributeNS(_XMLNS, "xmlns:rdf", _RDF)
        description.setAttributeNS(_RDF, "rdf:about", about)
    for namespace, prefix, name in properties:
        description.setAttributeNS(_XMLNS, f"xmlns:{prefix}", namespace)
        element = document.createElementNS(namespace, f"{prefix}:{name}")
        element.appendChild(document.createTextNode(properties[namespace, prefix, name]))
        description.appendChild(element)
    return description
