"""Which channels of a raw file the configuration names."""

from __future__ import annotations

from fovflow.config.model import ChannelsConfig
from fovflow.errors import ConfigError


def resolve_channels(
    channels: ChannelsConfig, names: tuple[str, ...]
) -> tuple[int | None, tuple[int, ...], int]:
    """Return the indices of the phase, fluorescence and segmented channels.

    A reference is a channel's name first, then, if it is a number, its index.

    Raises
    ------
    ConfigError
        If a channel does not exist, a name is ambiguous, or a channel has two roles.
    """
    pc = None if channels.pc is None else find_channel(channels.pc, names, "channels.pc")
    if channels.fl == "all":
        fl = tuple(index for index in range(len(names)) if index != pc)
    else:
        fl = tuple(find_channel(ref, names, "channels.fl") for ref in channels.fl)
    if len(set(fl)) < len(fl) or pc in fl:
        raise ConfigError(
            "channels: a channel is named twice",
            found=f"pc {channels.pc}, fl {list(channels.fl)}; in the file: {_listed(names)}",
            remedy="name each channel once",
        )
    if channels.seg is not None:
        seg = find_channel(channels.seg, names, "channels.seg")
        if seg != pc and seg not in fl:
            raise ConfigError(
                f"channels.seg: {channels.seg!r} is neither pc nor one of fl",
                remedy="add it to channels.fl",
            )
    elif pc is not None:
        seg = pc
    else:
        raise ConfigError(
            "channels: no channel to find cells in",
            remedy="give channels.pc, or channels.seg as one of channels.fl",
        )
    return pc, fl, seg


def find_channel(ref: int | str, names: tuple[str, ...], key: str) -> int:
    """Return the index of the channel that `ref` names.

    Raises
    ------
    ConfigError
        Naming `key`, the channel and the channels that there are.
    """
    text = str(ref)
    matches = [index for index, name in enumerate(names) if name == text]
    if not matches:
        matches = [i for i, name in enumerate(names) if name.casefold() == text.casefold()]
    if len(matches) == 1:
        return matches[0]
    if not matches and text.isdecimal() and int(text) < len(names):
        return int(text)
    what = "fits several channels" if matches else "is not in the file"
    raise ConfigError(
        f"{key}: the channel {ref!r} {what}",
        found=_listed(names),
        remedy="name one of these, by name or by index",
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"{index} = {name or 'unnamed'}" for index, name in enumerate(names))
