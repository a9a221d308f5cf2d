"""What `train` does once its options are checked: open the data, train, say what came out."""

from dataclasses import asdict

from noiseproof.cli.bars import TrainingBar
from noiseproof.cli.printing import print_json
from noiseproof.cli.recipe_options import (
    NewOptions,
    RecipeOptions,
    TrainedOnOptions,
    WeightsOptions,
)
from noiseproof.core.threads import parse_threads
from noiseproof.data import open_dataset
from noiseproof.specs import Plan, Recipe
from noiseproof.training import loop


def run_training(
    network: NewOptions, data: TrainedOnOptions, recipe: RecipeOptions, output: WeightsOptions
) -> None:
    """Train, and print the clean score."""
    source = open_dataset(data.data, data_dir=data.data_dir, download=data.download)
    source.check_task(data.task)
    plan = Plan(
        model=network.model,
        norm=network.norm,
        norm_where=network.norm_where,
        seed=network.seed,
        recipe=Recipe.usual(source.task, **asdict(recipe)),
    )
    with TrainingBar(f"{plan.model} {plan.norm or ''}".strip()) as bar:
        card = loop.train(
            plan,
            source,
            output.out,
            device=network.device,
            threads=parse_threads(network.threads),
            on_progress=bar.update,
        )
    scores = ", ".join(f"{name} {100 * value:.2f} %" for name, value in card.clean_scores.items())
    print(
        f"{output.out / 'weights.safetensors'}: clean {scores} on {card.clean_images} test images, "
        f"sha256 {card.sha256[:12]}"
    )
    if output.as_json:
        print_json(card.model_dump())
