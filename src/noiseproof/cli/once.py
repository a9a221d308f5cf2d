"""Commands that refuse options given twice, unless they may be repeated, and empty paths."""

from collections import Counter
from typing import Any

from typer.core import TyperCommand, TyperOption


class OnceCommand(TyperCommand):
    """A command that refuses an option which is given twice: the parser would take the last one
    and say nothing of the first. And it refuses an empty path, mostly a variable of a shell that is
    not set: it would be the working folder."""

    # Any: the context of typer's own parser, whose class has no public name.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What the parser leaves over.

        Raises:
            ValueError: for an option with one value that is given several times, or an empty path.
        """
        if not ctx.resilient_parsing:  # completion: what is typed is not whole yet
            # The parser's third answer is each option as often as it was given, in order.
            values, _, given = self.make_parser(ctx).parse_args(args=list(args))
            for name in getattr(self.callback, "paths", ()):
                if values.get(name) == "":
                    raise ValueError(
                        f"{_called(self.params, name)} is an empty path: name one, . for the "
                        "working folder"
                    )
            for option, count in Counter(given).items():
                if count > 1 and isinstance(option, TyperOption) and not option.multiple:
                    raise ValueError(
                        f"{option.opts[0]} is given {count} times, and has one value: give it once"
                    )
        return super().parse_args(ctx, args)


def _called(parameters: Any, name: str) -> str:
    """`--out`, or an argument's name."""
    return next(str(one.opts[0]) for one in parameters if one.name == name)
