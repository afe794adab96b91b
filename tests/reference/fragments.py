"""Reference of the pieces that come off a cell for a short time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reference.detections import Detection

Chain = tuple[Detection, ...]
SMALL = 0.4


def first_host(lost: Detection, covers: Iterable[tuple[Detection, Detection]]) -> Detection | None:
    """The first detection that covers a lost one."""
    hosts = [host for source, host in covers if source is lost]
    return min(hosts, key=lambda host: (host.frame, host.order), default=None)


def stretches(chain: Chain, ends: Callable[[Detection], bool]) -> list[int]:
    """Numbers of detections between those after which a stretch ends."""
    lengths = [0]
    for detection in chain:
        lengths[-1] += 1
        if ends(detection):
            lengths.append(0)
    return lengths


def whole_of(
    chain: Chain, origin: Chain | None, hosts: list[Chain | None], longest: int
) -> Chain | None:
    """The chain that a chain is a piece of, from its origin and the hosts of its detections."""
    fate = hosts[-1]
    wholes = {c for c in (origin, fate) if c is not None}
    if len(wholes) != 1:
        return None
    (whole,) = wholes
    host = dict(zip(chain, hosts, strict=True))
    if max(stretches(chain, lambda d: host[d] is whole)) > longest:
        return None
    beside = {d.frame: d for d in whole}
    if len(whole) <= len(chain) or any(d.frame not in beside for d in chain):
        return None
    if origin is None or fate is None:
        small = all(d.area <= SMALL * beside[d.frame].area for d in chain)
        if len(chain) > longest or not small:
            return None
    return whole
