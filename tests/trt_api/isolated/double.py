"""Doubles of compiled classes: each knows what its real class has, and refuses everything else.

What a double does is written in a part, a plain class with the same names; what it may be asked for is read from the
real class: attributes, which of them can be set, how many arguments a method takes, their names and types, and the type
of what comes back. A part that says something else than the real class is refused as well.
"""

import functools
from dataclasses import dataclass

from signatures import Types, signatures


@dataclass(frozen=True)
class Asked:
    """A question to a double: a method's arguments by name, or the value that an attribute was set to."""

    kind: str
    name: str
    arguments: dict
    part: object


class NotSimulatedError(AssertionError):
    """The real class has it, the part has not."""


class Double:
    """Stands for an object of a real class."""

    def __init__(self, module, part):
        vars(self).update(_module=module, _part=part, _real=getattr(module.real, part.of))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        real = self._found(name)
        if isinstance(real, property):
            given = self._module.given(getattr(self._part, name))
            self._module.check_result(f"{self._part.of}.{name}", given, signatures(real.fget.__doc__))
            return given
        if not hasattr(self._part, name):
            raise NotSimulatedError(f"{self._part.of}.{name} is not simulated")
        return functools.partial(self._module.call, self._part, name, real.__doc__)

    def __setattr__(self, name, value):
        real = self._found(name)
        if not isinstance(real, property) or real.fset is None:
            raise AttributeError(f"{self._part.of}.{name} cannot be set")
        for signature in signatures(real.fget.__doc__):
            if not self._module.types.fits(value, signature.gives):
                raise TypeError(f"{self._part.of}.{name} is {signature.gives}, got {value!r}")
        self._module.asked.append(Asked(self._part.of, name, {"value": value}, self._part))
        setattr(self._part, name, value)

    def _found(self, name):
        try:
            real = getattr(self._real, name)
        except AttributeError:
            raise AttributeError(f"'{self._real.__name__}' object has no attribute '{name}'") from None
        if isinstance(real, property) and not hasattr(self._part, name):
            raise NotSimulatedError(f"{self._part.of}.{name} is not simulated")
        return real

    def __bytes__(self):
        if self._part.of != "IHostMemory":
            raise TypeError(f"'{self._part.of}' holds no bytes")
        return self._part.data  # the real one has a buffer, which no class written in Python 3.11 can have


class Module:
    """Stands for the module: the real one's names, but with doubles for what cannot be made without a GPU.

    Args:
        real: the module.
        makers: name of a class -> what makes its part from the constructor's arguments.
    """

    def __init__(self, real, makers):
        vars(self).update(real=real, makers=makers, asked=[])
        vars(self)["types"] = Types(real, lambda value: vars(value)["_real"] if isinstance(value, Double) else None)

    def __getattr__(self, name):
        real = getattr(self.real, name)
        if name not in self.makers:
            return real
        return functools.partial(self._make, name, real.__init__.__doc__)

    def __setattr__(self, name, value):
        raise AttributeError(f"nothing of the module is to be set, not '{name}'")

    def _make(self, name, documentation, *args, **kwargs):
        bound, _ = self._bind(name, documentation, args, kwargs)
        part = self.makers[name](*bound.values())
        if part is None:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return self.given(part)

    def call(self, part, name, documentation, *args, **kwargs):
        """Ask a part, after the arguments have been found to fit, and check what it says."""
        bound, signature = self._bind(f"{part.of}.{name}", documentation, args, kwargs)
        self.asked.append(Asked(part.of, name, bound, part))
        given = self.given(getattr(part, name)(*bound.values()))
        self.check_result(f"{part.of}.{name}", given, [signature])
        return given

    def _bind(self, what, documentation, args, kwargs):
        overloads = signatures(documentation)
        assert overloads, f"the documentation of {what} tells no signature"
        refused = []
        for signature in overloads:
            try:
                return signature.bind(args, kwargs, self.types.fits), signature
            except TypeError as error:
                refused.append(str(error))
        raise TypeError(f"{what}(): {'; '.join(refused)}")

    def check_result(self, what, given, overloads):
        """Whether a part says what the real class would; none stands for any object that could not be made."""
        for signature in overloads:
            kind = signature.gives
            objects = "tensorrt" in kind or "::" in kind
            assert (given is None and objects) or self.types.fits(given, kind), f"{what} gives {kind}, not {given!r}"

    def given(self, value):
        """A part as its double, the same one each time; anything else as it is."""
        if not hasattr(value, "of"):
            return value
        if "double" not in vars(value):
            value.double = Double(self, value)
        return value.double

    def asked_of(self, kind, name):
        """Arguments of every call of a method, or every setting of an attribute, in their order."""
        return [asked.arguments for asked in self.asked if (asked.kind, asked.name) == (kind, name)]


def part_of(double):
    """What stands behind a double."""
    return vars(double)["_part"]
