"""`cpmqr profile`: scheme profiles, the built-in ones and one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cpmqr.cli import output
from cpmqr.errors import ProfileError

if TYPE_CHECKING:
    from cpmqr.emv.layout import Line
    from cpmqr.emv.profile import Profile

NameArgument = Annotated[str, typer.Argument(help="A built-in name, or the path of a TOML file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="Scheme profiles: which objects a payload has, in which order, and how its cryptogram is made.",
        no_args_is_help=True,
    )
    group.command("list")(list_profiles)
    group.command("show")(show)
    group.command("check")(check)
    app.add_typer(group, name="profile")


def list_profiles(as_json: JsonOption = False) -> None:
    """List the built-in profiles."""
    from cpmqr.emv.profile import BUILT_IN, Profile

    profiles = [Profile.load(name) for name in BUILT_IN]
    if as_json:
        output.print_json([_summary(profile) for profile in profiles])
        return
    for profile in profiles:
        print(
            f"{profile.name:<12} {profile.aid:<18} {profile.master_key_algorithm or '-':<9} {profile.title}"
        )


def show(
    name: NameArgument,
    as_json: JsonOption = False,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print its file, as a start for one of your own.")
    ] = False,
) -> None:
    """Show a profile: its layout, its parameters, its cryptogram."""
    from cpmqr.emv.profile import Profile

    profile = Profile.load(name)
    if as_toml:
        print(profile.text, end="")
    elif as_json:
        output.print_json({**_summary(profile), "layout": _layout(profile.layout)})
    else:
        _print(profile)


def check(name: NameArgument) -> None:
    """Check a profile's file; exit status 1, with file and line, where it is wrong."""
    from cpmqr.emv.profile import BUILT_IN, Profile

    if name not in BUILT_IN and not Path(name).is_file():
        raise ProfileError("neither a built-in profile nor a file", source=name)
    try:
        profile = Profile.load(name)
    except ProfileError as error:
        output.fail(str(error))
        raise typer.Exit(output.EXIT_NEGATIVE) from None
    print(f"{name}: good; profile {profile.name}, {_key_words(profile)}")


def _summary(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "aid": profile.aid,
        "master_key_algorithm": profile.master_key_algorithm or None,
        "cryptogram_input": list(profile.cryptogram_input),
        "parameters": {
            name: {"default": parameter.default, "about": parameter.about}
            for name, parameter in profile.parameters.items()
        },
    }


def _layout(lines: Sequence[Line]) -> list[dict[str, Any]]:
    from cpmqr.emv.tags import name_of

    told: list[dict[str, Any]] = []
    for line in lines:
        one: dict[str, Any] = {"tag": line.tag, "name": name_of(line.tag)}
        if line.objects:
            one["objects"] = _layout(line.objects)
        else:
            one["text" if line.text else "value"] = line.text or line.value
        if line.optional:
            one["optional"] = True
        told.append(one)
    return told


def _key_words(profile: Profile) -> str:
    if not profile.master_key_algorithm:
        return "no cryptogram"
    covered = " ".join(profile.cryptogram_input)
    return f"issuer master key {profile.master_key_algorithm}, cryptogram over {covered}"


def _print(profile: Profile) -> None:
    from cpmqr.emv.layout import FIELD_WORDS

    print(f"{profile.name}: {profile.title}\n{_key_words(profile)}\n")
    _print_lines(_layout(profile.layout), "")
    print("\nof each card and each payload")
    for name, words in FIELD_WORDS.items():
        if f"{{{name}}}" in profile.text:
            print(f"  {name}: {words}")
    if profile.parameters:
        print("\nparameters")
    for name, parameter in profile.parameters.items():
        default = f"default {parameter.default!r}" if parameter.default else "empty unless given"
        print(f"  {name}: {output.printable(parameter.about)} ({default})")


def _print_lines(lines: list[dict[str, Any]], indent: str) -> None:
    for line in lines:
        value = line.get("value") or (f"“{line['text']}”" if line.get("text") else "")
        optional = "  (optional)" if line.get("optional") else ""
        print(f"{indent}{line['tag']:<5} {line['name']}{f': {value}' if value else ''}{optional}")
        _print_lines(line.get("objects", []), indent + "  ")
