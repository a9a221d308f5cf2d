"""A network as a skeleton and a state, and what its layers are."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.network.activations import Key as Key
    from noiseproof.network.activations import Site as Site
    from noiseproof.network.activations import listening as listening
    from noiseproof.network.activations import sites_of as sites_of
    from noiseproof.network.chip import Chip as Chip
    from noiseproof.network.chip import Plain as Plain
    from noiseproof.network.chip import Product as Product
    from noiseproof.network.chip import StopForward as StopForward
    from noiseproof.network.chip import at_products as at_products
    from noiseproof.network.chip import outputs as outputs
    from noiseproof.network.costs import Work as Work
    from noiseproof.network.costs import costs_of as costs_of
    from noiseproof.network.costs import work_of as work_of
    from noiseproof.network.folding import fold_of as fold_of
    from noiseproof.network.layouts import Layout as Layout
    from noiseproof.network.layouts import as_kernel as as_kernel
    from noiseproof.network.layouts import as_matrix as as_matrix
    from noiseproof.network.layouts import by_output as by_output
    from noiseproof.network.layouts import channels as channels
    from noiseproof.network.linear_maps import Kind as Kind
    from noiseproof.network.linear_maps import LinearMap as LinearMap
    from noiseproof.network.linear_maps import is_plain as is_plain
    from noiseproof.network.linear_maps import kind_of as kind_of
    from noiseproof.network.linear_maps import layout_of as layout_of
    from noiseproof.network.linear_maps import output_axis as output_axis
    from noiseproof.network.linear_maps import runs_as as runs_as
    from noiseproof.network.moments import Moments as Moments
    from noiseproof.network.moments import double as double
    from noiseproof.network.moments import joined as joined
    from noiseproof.network.moments import mixed as mixed
    from noiseproof.network.moments import moments_of as moments_of
    from noiseproof.network.norms import ScaledBatchNorm as ScaledBatchNorm
    from noiseproof.network.norms import chosen as chosen
    from noiseproof.network.norms import is_batch_norm as is_batch_norm
    from noiseproof.network.norms import is_norm as is_norm
    from noiseproof.network.norms import norm_layers as norm_layers
    from noiseproof.network.norms import replace_norms as replace_norms
    from noiseproof.network.norms import scale_kind as scale_kind
    from noiseproof.network.passes import Forward as Forward
    from noiseproof.network.passes import Passes as Passes
    from noiseproof.network.reach import Reach as Reach
    from noiseproof.network.reach import examine_ as examine_
    from noiseproof.network.reach import missing as missing
    from noiseproof.network.reach import reach_of as reach_of
    from noiseproof.network.reach import unwatched as unwatched
    from noiseproof.network.refused import check_module as check_module
    from noiseproof.network.replay import Replay as Replay
    from noiseproof.network.selecting import DIGITAL as DIGITAL
    from noiseproof.network.selecting import chosen_tensors as chosen_tensors
    from noiseproof.network.selecting import kept_digital as kept_digital
    from noiseproof.network.shortcuts import Shortcut as Shortcut
    from noiseproof.network.shortcuts import Starts as Starts
    from noiseproof.network.shortcuts import first_called as first_called
    from noiseproof.network.shortcuts import users_of as users_of
    from noiseproof.network.state import M as M
    from noiseproof.network.state import Place as Place
    from noiseproof.network.state import State as State
    from noiseproof.network.state import dtype_of as dtype_of
    from noiseproof.network.state import network_sha256 as network_sha256
    from noiseproof.network.state import places as places
    from noiseproof.network.state import skeleton_of as skeleton_of
    from noiseproof.network.state import state_of as state_of
    from noiseproof.network.state import state_sha256 as state_sha256
    from noiseproof.network.state import with_state as with_state
    from noiseproof.network.statistics import Statistic as Statistic
    from noiseproof.network.storing import read_back as read_back
    from noiseproof.network.storing import set_eps_ as set_eps_
    from noiseproof.network.storing import stored_as as stored_as

__getattr__, __dir__ = face(
    __name__,
    {
        "is_norm": "network.norms",
        "Chip": "network.chip",
        "DIGITAL": "network.selecting",
        "Statistic": "network.statistics",
        "read_back": "network.storing",
        "set_eps_": "network.storing",
        "stored_as": "network.storing",
        "Reach": "network.reach",
        "Work": "network.costs",
        "chosen_tensors": "network.selecting",
        "examine_": "network.reach",
        "kept_digital": "network.selecting",
        "missing": "network.reach",
        "reach_of": "network.reach",
        "unwatched": "network.reach",
        "work_of": "network.costs",
        "Forward": "network.passes",
        "Key": "network.activations",
        "Kind": "network.linear_maps",
        "LinearMap": "network.linear_maps",
        "M": "network.state",
        "Moments": "network.moments",
        "Passes": "network.passes",
        "Place": "network.state",
        "Plain": "network.chip",
        "Product": "network.chip",
        "Replay": "network.replay",
        "Shortcut": "network.shortcuts",
        "Starts": "network.shortcuts",
        "fold_of": "network.folding",
        "first_called": "network.shortcuts",
        "users_of": "network.shortcuts",
        "ScaledBatchNorm": "network.norms",
        "Site": "network.activations",
        "State": "network.state",
        "StopForward": "network.chip",
        "Layout": "network.layouts",
        "as_kernel": "network.layouts",
        "as_matrix": "network.layouts",
        "at_products": "network.chip",
        "by_output": "network.layouts",
        "channels": "network.layouts",
        "chosen": "network.norms",
        "costs_of": "network.costs",
        "double": "network.moments",
        "is_batch_norm": "network.norms",
        "is_plain": "network.linear_maps",
        "joined": "network.moments",
        "kind_of": "network.linear_maps",
        "layout_of": "network.linear_maps",
        "listening": "network.activations",
        "mixed": "network.moments",
        "moments_of": "network.moments",
        "check_module": "network.refused",
        "dtype_of": "network.state",
        "network_sha256": "network.state",
        "norm_layers": "network.norms",
        "output_axis": "network.linear_maps",
        "outputs": "network.chip",
        "places": "network.state",
        "replace_norms": "network.norms",
        "runs_as": "network.linear_maps",
        "scale_kind": "network.norms",
        "sites_of": "network.activations",
        "skeleton_of": "network.state",
        "state_of": "network.state",
        "state_sha256": "network.state",
        "with_state": "network.state",
    },
)
