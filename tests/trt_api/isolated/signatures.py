"""Signatures of compiled functions, parsed from their docstrings, and checks of calls against them."""

import re
from dataclasses import dataclass

LINE = re.compile(r"^(?:\d+\. )?(?P<name>\w*)\((?P<parameters>.*)\) -> (?P<returns>.+)$")
NUMBERS = {"int": int, "typing.SupportsInt": int, "float": (int, float), "typing.SupportsFloat": (int, float)}
BUILTINS = {**NUMBERS, "str": str, "bool": bool, "tuple": tuple, "list": list}
BUFFERS = {"buffer", "typing_extensions.Buffer"}
NAMED = re.compile(
    r"(?:tensorrt(?:_rtx)?_bindings\.tensorrt(?:_rtx)?\.|nvinfer1::|nvonnxparser::)(?:v_\d_\d::)?(?P<name>[\w.]+)"
)
LISTS = re.compile(r"^(?:List|list|collections\.abc\.Sequence)\[(?P<element>.+)\]$")


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: str
    optional: bool


@dataclass(frozen=True)
class Signature:
    """One overload, without `self`."""

    parameters: tuple[Parameter, ...]
    returns: str

    def bind(self, args, kwargs, fits):
        """Arguments by name.

        Raises:
            TypeError: too many or too few arguments, an unknown name, or a wrong type.
        """
        if len(args) > len(self.parameters):
            raise TypeError(f"takes {len(self.parameters)} arguments, got {len(args)}")
        names = [p.name for p in self.parameters]
        bound = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names or name in bound:
                raise TypeError(f"unexpected keyword '{name}', expected {names}")
            bound[name] = value
        for parameter in self.parameters:
            if parameter.name not in bound:
                if not parameter.optional:
                    raise TypeError(f"missing '{parameter.name}'")
            elif not fits(bound[parameter.name], parameter.kind):
                raise TypeError(f"'{parameter.name}' is {parameter.kind}, got {bound[parameter.name]!r}")
        return bound


def signatures(documentation):
    """Every overload at the beginning of a docstring; empty if it has none."""
    overloads = []
    for line in (documentation or "").splitlines():
        match = LINE.match(line.strip())
        if match and match["parameters"] != "*args, **kwargs":
            parameters = [_parameter(text) for text in _split(match["parameters"])]
            if parameters and parameters[0].name in ("self", "arg0"):
                parameters = parameters[1:]
            overloads.append(Signature(tuple(parameters), match["returns"]))
    return overloads


def _parameter(text):
    name, _, rest = text.partition(":")
    kind, default, _ = rest.strip().partition(" = ")
    return Parameter(name.strip(), kind.strip(), bool(default))


def _split(text):
    """Split at the commas outside of brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "[(<") - (character in "])>")
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [part for part in [*parts, text[start:]] if part.strip()]


class Types:
    """Type checks by the type names of docstrings.

    Args:
        module: the real module.
        mocked_class: value -> the real class that it mocks, or None.
    """

    def __init__(self, module, mocked_class):
        self._module, self._mocked_class = module, mocked_class

    def fits(self, value, kind):
        """Whether a value is of a type.

        Raises:
            LookupError: an unknown type name, so that nothing passes unchecked.
        """
        if kind == "object":
            return True
        if kind == "None":
            return value is None
        if kind in BUILTINS:
            return isinstance(value, BUILTINS[kind]) and (kind == "bool" or not isinstance(value, bool))
        if kind in BUFFERS:
            return isinstance(value, (bytes, bytearray, memoryview)) or self._is(value, "IHostMemory")
        sequence = LISTS.match(kind)
        if sequence:
            return isinstance(value, (list, tuple)) and all(self.fits(item, sequence["element"]) for item in value)
        named = NAMED.fullmatch(kind)
        if not named:
            raise LookupError(f"cannot check whether {value!r} is '{kind}'; add the type to {__name__}")
        name = {"IParserError": "ParserError"}.get(named[1], named[1])
        if name == "Dims" and isinstance(value, (tuple, list)):  # converted by the bindings
            return all(isinstance(size, int) for size in value)
        return self._is(value, name)

    def _is(self, value, name):
        real = self._module
        for part in name.split("."):
            real = getattr(real, part)
        mocked = self._mocked_class(value)
        return isinstance(value, real) if mocked is None else issubclass(mocked, real)
