"""Commands that take each option once, unless it says that it may be repeated."""

from collections import Counter
from typing import Any

from typer.core import TyperCommand, TyperOption


class OnceCommand(TyperCommand):
    """A command that refuses an option which is given twice: the parser would take the last one
    and say nothing of the first."""

    # Any: the context of typer's own parser, whose class has no public name.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What the parser leaves over.

        Raises:
            ValueError: for an option with one value that is given several times.
        """
        if not ctx.resilient_parsing:  # completion: what is typed is not whole yet
            # The parser's third answer is each option as often as it was given, in order.
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            for option, count in Counter(given).items():
                if count > 1 and isinstance(option, TyperOption) and not option.multiple:
                    raise ValueError(
                        f"{option.opts[0]} is given {count} times, and has one value: give it once"
                    )
        return super().parse_args(ctx, args)
