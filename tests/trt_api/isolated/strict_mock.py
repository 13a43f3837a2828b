"""Strict mocks of compiled classes: a mock has exactly what its real class has and rejects everything else.

The behaviour of a mock is implemented by a stub, a plain class with the same names. What may be called is read from the
real class: attributes, which of them can be set, number, names and types of a method's arguments, and the type of its
result. A stub whose result does not fit the real class is rejected as well.
"""

import functools
from dataclasses import dataclass

from signatures import Types, signatures


@dataclass(frozen=True)
class Call:
    """A recorded method call (its arguments by name) or attribute assignment ({"value": …})."""

    kind: str
    name: str
    arguments: dict
    stub: object


class NotStubbedError(AssertionError):
    """The real class has the attribute, the stub does not."""


class StrictMock:
    """Mock of an object of a real class."""

    def __init__(self, module, stub):
        vars(self).update(_module=module, _stub=stub, _real=getattr(module.real, stub.of))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        real = self._real_attribute(name)
        if isinstance(real, property):
            value = self._module.wrap(getattr(self._stub, name))
            self._module.check_result(f"{self._stub.of}.{name}", value, signatures(real.fget.__doc__))
            return value
        if not hasattr(self._stub, name):
            raise NotStubbedError(f"{self._stub.of}.{name} is not stubbed")
        return functools.partial(self._module.call, self._stub, name, real.__doc__)

    def __setattr__(self, name, value):
        real = self._real_attribute(name)
        if not isinstance(real, property) or real.fset is None:
            raise AttributeError(f"{self._stub.of}.{name} cannot be set")
        for signature in signatures(real.fget.__doc__):
            if not self._module.types.fits(value, signature.returns):
                raise TypeError(f"{self._stub.of}.{name} is {signature.returns}, got {value!r}")
        self._module.calls.append(Call(self._stub.of, name, {"value": value}, self._stub))
        setattr(self._stub, name, value)

    def _real_attribute(self, name):
        try:
            real = getattr(self._real, name)
        except AttributeError:
            raise AttributeError(f"'{self._real.__name__}' object has no attribute '{name}'") from None
        if isinstance(real, property) and not hasattr(self._stub, name):
            raise NotStubbedError(f"{self._stub.of}.{name} is not stubbed")
        return real

    def __bytes__(self):
        if self._stub.of != "IHostMemory":
            raise TypeError(f"'{self._stub.of}' is not a buffer")
        return self._stub.data  # the real class has a buffer, which a class in Python 3.11 cannot have


class MockModule:
    """Mock of the module: its real names, with strict mocks of the classes that need a GPU.

    Args:
        real: the module.
        factories: class name -> function from the constructor's arguments to a stub.
    """

    def __init__(self, real, factories):
        vars(self).update(real=real, factories=factories, calls=[])
        vars(self)["types"] = Types(real, lambda value: vars(value)["_real"] if isinstance(value, StrictMock) else None)

    def __getattr__(self, name):
        real = getattr(self.real, name)
        if name not in self.factories:
            return real
        return functools.partial(self._construct, name, real.__init__.__doc__)

    def __setattr__(self, name, value):
        raise AttributeError(f"attributes of the module cannot be set, got '{name}'")

    def _construct(self, name, documentation, *args, **kwargs):
        bound, _ = self._bind(name, documentation, args, kwargs)
        stub = self.factories[name](*bound.values())
        if stub is None:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return self.wrap(stub)

    def call(self, stub, name, documentation, *args, **kwargs):
        """Call a stub's method, after checking the arguments, and check its result."""
        bound, signature = self._bind(f"{stub.of}.{name}", documentation, args, kwargs)
        self.calls.append(Call(stub.of, name, bound, stub))
        result = self.wrap(getattr(stub, name)(*bound.values()))
        self.check_result(f"{stub.of}.{name}", result, [signature])
        return result

    def _bind(self, function, documentation, args, kwargs):
        overloads = signatures(documentation)
        assert overloads, f"the documentation of {function} has no signature"
        errors = []
        for signature in overloads:
            try:
                return signature.bind(args, kwargs, self.types.fits), signature
            except TypeError as error:
                errors.append(str(error))
        raise TypeError(f"{function}(): {'; '.join(errors)}")

    def check_result(self, function, result, overloads):
        """Check a stub's result against the real return type; None is allowed for objects, as on failure."""
        for signature in overloads:
            kind = signature.returns
            is_object = "tensorrt" in kind or "::" in kind
            fits = (result is None and is_object) or self.types.fits(result, kind)
            assert fits, f"{function} returns {kind}, not {result!r}"

    def wrap(self, value):
        """Strict mock of a stub, the same one each time; other values unchanged."""
        if not hasattr(value, "of"):
            return value
        if "mock" not in vars(value):
            value.mock = StrictMock(self, value)
        return value.mock

    def calls_of(self, kind, name):
        """Arguments of all calls of a method, or assignments of an attribute, in order."""
        return [call.arguments for call in self.calls if (call.kind, call.name) == (kind, name)]


def stub_of(mock):
    """The stub of a strict mock."""
    return vars(mock)["_stub"]
