"""The command that trains a network."""

from noiseproof.cli.grouped import grouped
from noiseproof.cli.recipe_options import (
    NewOptions,
    RecipeOptions,
    TrainedOnOptions,
    WeightsOptions,
)
from noiseproof.core.checks import at_least, check_device, check_seed, one_of
from noiseproof.core.threads import parse_threads
from noiseproof.specs import catalog


@grouped(
    "noiseproof train --model resnet8 --data digits --norm batch_l1 --out runs/net",
    "noiseproof train --model resnet20 --norm batch --epochs 60 --download --out runs/resnet20",
)
def train(
    network: NewOptions, data: TrainedOnOptions, recipe: RecipeOptions, output: WeightsOptions
) -> None:
    """Train a network. Killed and started again, it goes on after the last whole epoch and ends
    in the same weights, bit for bit."""
    catalog.check_model(network.model)
    catalog.check_dataset(data.data)
    check_device(network.device)
    catalog.check_norm_where(network.norm, network.norm_where)
    check_seed(network.seed)
    parse_threads(network.threads)
    at_least(epochs=recipe.epochs, batch_size=recipe.batch_size)
    if data.task is not None:
        one_of("task", data.task, catalog.TASKS)
    from noiseproof.cli.learning import run_training

    run_training(network, data, recipe, output)
