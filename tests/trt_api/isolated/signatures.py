"""What a compiled function takes and gives, read from the first lines of its documentation, and whether a call fits."""

import re
from dataclasses import dataclass

LINE = re.compile(r"^(?:\d+\. )?(?P<name>\w*)\((?P<inside>.*)\) -> (?P<gives>.+)$")
NUMBERS = {"int": int, "typing.SupportsInt": int, "float": (int, float), "typing.SupportsFloat": (int, float)}
PLAIN = {**NUMBERS, "str": str, "bool": bool, "tuple": tuple, "list": list}
BUFFERS = {"buffer", "typing_extensions.Buffer"}
LISTS = re.compile(r"^(?:List|list|collections\.abc\.Sequence)\[(?P<of>.+)\]$")


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: str
    optional: bool


@dataclass(frozen=True)
class Signature:
    """One overload; `self` is not among the parameters."""

    parameters: tuple[Parameter, ...]
    gives: str

    def bind(self, args, kwargs, fits):
        """Arguments by name.

        Raises:
            TypeError: too many, too few, an unknown name, or one of another type.
        """
        if len(args) > len(self.parameters):
            raise TypeError(f"takes {len(self.parameters)} arguments, got {len(args)}")
        names = [p.name for p in self.parameters]
        bound = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names or name in bound:
                raise TypeError(f"got the keyword '{name}', knows {names}")
            bound[name] = value
        for parameter in self.parameters:
            if parameter.name not in bound:
                if not parameter.optional:
                    raise TypeError(f"lacks '{parameter.name}'")
            elif not fits(bound[parameter.name], parameter.kind):
                raise TypeError(f"'{parameter.name}' is {parameter.kind}, got {bound[parameter.name]!r}")
        return bound


def signatures(documentation):
    """Every overload that a documentation begins with; none where it tells of none."""
    found = []
    for line in (documentation or "").splitlines():
        match = LINE.match(line.strip())
        if match and match["inside"] != "*args, **kwargs":
            parameters = [_parameter(text) for text in _split(match["inside"])]
            if parameters and parameters[0].name in ("self", "arg0"):
                parameters = parameters[1:]
            found.append(Signature(tuple(parameters), match["gives"]))
    return found


def _parameter(text):
    name, _, rest = text.partition(":")
    kind, default, _ = rest.strip().partition(" = ")
    return Parameter(name.strip(), kind.strip(), bool(default))


def _split(text):
    """At the commas that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "[(<") - (character in "])>")
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [part for part in [*parts, text[start:]] if part.strip()]


class Types:
    """Whether a value is of a type that the documentation names.

    Args:
        module: the real one.
        real_of: a value -> the real class that it stands for, or none.
    """

    def __init__(self, module, real_of):
        self._module, self._real_of = module, real_of

    def fits(self, value, kind):
        """Whether it is.

        Raises:
            LookupError: a type that cannot be judged here; so that nothing passes unseen.
        """
        if kind == "object":
            return True
        if kind == "None":
            return value is None
        if kind in PLAIN:
            return isinstance(value, PLAIN[kind]) and (kind == "bool" or not isinstance(value, bool))
        if kind in BUFFERS:
            return isinstance(value, (bytes, bytearray, memoryview)) or self._is(value, "IHostMemory")
        listed = LISTS.match(kind)
        if listed:
            return isinstance(value, (list, tuple)) and all(self.fits(item, listed["of"]) for item in value)
        named = re.fullmatch(r"(?:tensorrt_bindings\.tensorrt\.|nvinfer1::|nvonnxparser::)(?:v_\d_\d::)?([\w.]+)", kind)
        if not named:
            raise LookupError(f"cannot tell whether {value!r} is '{kind}'; teach {__name__} this type")
        name = {"IParserError": "ParserError"}.get(named[1], named[1])
        if name == "Dims" and isinstance(value, (tuple, list)):  # converted by the bindings
            return all(isinstance(size, int) for size in value)
        return self._is(value, name)

    def _is(self, value, name):
        real = self._module
        for part in name.split("."):
            real = getattr(real, part)
        stands_for = self._real_of(value)
        return isinstance(value, real) if stands_for is None else issubclass(stands_for, real)
