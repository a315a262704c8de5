from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from denoisebench.methods.noise2fast import Noise2Fast, Outputs
from denoisebench.sampling import chequerboard_halves
from learning import gain_db, method_of


def small_model(channels: int = 3, **options: Any) -> Noise2Fast:
    torch.manual_seed(1)
    return Noise2Fast(channels=channels, **{"features": 4, "steps": 3, **options})


# --- The chequerboard --------------------------------------------------------------------------------------------


def slow_halves(x: Tensor) -> list[Tensor]:
    """Pixel by pixel, of an image (1, 1, H, W)."""
    height, width = (side // 2 * 2 for side in x.shape[-2:])
    h1, h2 = (x.new_zeros(1, 1, height // 2, width) for _ in range(2))
    v1, v2 = (x.new_zeros(1, 1, height, width // 2) for _ in range(2))
    for i in range(height // 2):
        for j in range(width):
            rows = (2 * i + 1, 2 * i) if j % 2 == 0 else (2 * i, 2 * i + 1)
            h1[..., i, j], h2[..., i, j] = x[..., rows[0], j], x[..., rows[1], j]
    for i in range(height):
        for j in range(width // 2):
            columns = (2 * j + 1, 2 * j) if i % 2 == 0 else (2 * j, 2 * j + 1)
            v1[..., i, j], v2[..., i, j] = x[..., i, columns[0]], x[..., i, columns[1]]
    return [h1, h2, v1, v2]


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (2, 3)])
def test_halves_are_those_of_the_slow_chequerboard(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    halves = chequerboard_halves(x)
    for image in range(2):
        for channel in range(3):
            expected = slow_halves(x[image : image + 1, channel : channel + 1])
            for half, own in zip(halves, expected, strict=True):
                assert torch.equal(half[image, channel], own[0, 0])


def test_two_halves_are_a_partition_by_colour_of_the_board() -> None:
    x = torch.arange(48.0).view(1, 1, 6, 8)
    black = {float(x[0, 0, i, j]) for i in range(6) for j in range(8) if (i + j) % 2}
    h1, h2, v1, v2 = (set(half.flatten().tolist()) for half in chequerboard_halves(x))
    assert h1 == v1 == black
    assert h2 == v2 == set(range(48)) - black


# --- The loss ----------------------------------------------------------------------------------------------------


def slow_term(model: Noise2Fast, network: Any, image: Tensor, draw: int) -> Tensor:
    """One network's loss, value by value; its image (1, C, H, W) is normalised here, too."""
    channels = []
    for channel in image.unbind(1):
        if model.objective == "cross_entropy":
            channels.append((channel - channel.min()) / (channel.max() - channel.min()))
        else:
            mean = channel.mean()
            channels.append((channel - mean) / (channel - mean).square().mean().sqrt())
    halves = [slow_halves(channel[None]) for channel in channels]
    first, second = ((0, 1), (1, 0), (2, 3), (3, 2))[draw]
    source, target = (torch.cat([own[half] for own in halves], dim=1) for half in (first, second))
    output = network(source)
    total = output.new_zeros(())
    for value, truth in zip(output.flatten(), target.flatten(), strict=True):
        if model.objective == "cross_entropy":
            total = total - truth * value.sigmoid().log() - (1 - truth) * (1 - value.sigmoid()).log()
        else:
            total = total + (value - truth) ** 2
    return total / output.numel()


@pytest.mark.parametrize(("channels", "networks", "objective"), [
    (3, "each", "squared_error"), (3, "joint", "squared_error"), (1, "each", "cross_entropy"), (3, "each", "cross_entropy"),
])  # fmt: skip
def test_loss_and_gradients_are_those_of_the_slow_loss(channels: int, networks: Any, objective: Any) -> None:
    model = small_model(channels, networks=networks, objective=objective).double()
    noisy = torch.rand(1, channels, 7, 8, dtype=torch.float64)
    model.reset(noisy)
    torch.manual_seed(3)
    got = model.loss(noisy, 0.0)
    torch.manual_seed(3)
    expected = torch.zeros((), dtype=torch.float64)
    for network, image in zip(model.networks, noisy.chunk(len(model.networks), dim=1), strict=True):
        expected = expected + slow_term(model, network, image, int(torch.randint(4, ())))
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    parameters = list(model.parameters())
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_all_four_ordered_pairs_are_drawn_alike() -> None:
    model = small_model(1)
    model.reset(torch.rand(1, 1, 4, 4))
    pairs = model._pairs[0]
    assert len(pairs) == 4
    drawn: list[int] = []
    seen: dict[int, Tensor] = {}

    def seeing(source: Tensor) -> Tensor:
        """The network in the pair's first image, of which it notes the place in `pairs`."""
        drawn.append(next(index for index, (first, _) in enumerate(pairs) if first is source))
        return seen.setdefault(drawn[-1], torch.zeros_like(source))

    model.networks[0].forward = seeing  # type: ignore[method-assign]
    for _ in range(2000):
        loss = model._pair_loss(0)
        assert torch.equal(loss, F.mse_loss(torch.zeros(()).expand_as(pairs[drawn[-1]][1]), pairs[drawn[-1]][1]))
    counts = [drawn.count(pair) for pair in range(4)]
    assert max(abs(count - 500) for count in counts) < 5 * (2000 * 3 / 16) ** 0.5
    shapes = [(tuple(one.shape[-2:]), tuple(two.shape[-2:])) for one, two in pairs]
    assert shapes == [((2, 4), (2, 4))] * 2 + [((4, 2), (4, 2))] * 2
    assert torch.equal(pairs[0][0], pairs[1][1])
    assert torch.equal(pairs[2][1], pairs[3][0])


# --- When it stops, and what it returns --------------------------------------------------------------------------


def released_loop(outputs: list[Tensor], distances: list[float], patience: int) -> tuple[Tensor, int]:
    """The last patience + 5 outputs but the newest, when `patience` + 1 steps in a row brought no smaller distance."""
    kept: list[Tensor] = []
    best, since = float("inf"), 0
    for step, (output, distance) in enumerate(zip(outputs, distances, strict=True)):
        best, since = (distance, 0) if distance < best else (best, since + 1)
        if since > patience:
            return torch.stack(kept[-patience - 5 :]).mean(0), step + 1
        kept.append(output)
    raise AssertionError("did not stop")


@pytest.mark.parametrize("seed", range(6))
def test_the_mean_is_the_released_one_over_the_outputs_there_are(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs = list(torch.rand(80, 1, 1, 3, 3, generator=generator, dtype=torch.float64))
    distances = torch.rand(80, generator=generator, dtype=torch.float64)
    distances[: 5 * seed] += 2 - torch.arange(5.0 * seed) / 40  # the best comes at the first step, or later
    distances[0] = 0.0 if seed == 0 else distances[0]
    ours = Outputs(6, 80, outputs[0])
    for output, distance in zip(outputs, distances, strict=True):  # far beyond the stop
        ours.add(output, distance)
    expected, steps = released_loop(outputs, distances.tolist(), 6)
    assert ours.stopped
    assert int(ours.steps) == steps
    torch.testing.assert_close(ours.mean(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("most", [1, 5, 11, 30])
def test_outputs_that_come_nearer_to_the_last_give_the_mean_of_the_last_ones(most: int) -> None:
    outputs = list(torch.rand(most, 1, 1, 3, 3, dtype=torch.float64))
    ours = Outputs(6, most, outputs[0])
    for index, output in enumerate(outputs):
        ours.add(output, torch.tensor(1 / (1 + index), dtype=torch.float64))
    assert not ours.stopped
    assert int(ours.steps) == most
    torch.testing.assert_close(ours.mean(), torch.stack(outputs[-11:]).mean(0), rtol=0, atol=1e-12)


def test_a_run_that_takes_all_its_steps_returns_the_mean_of_its_last_outputs() -> None:
    noisy = torch.rand(1, 1, 12, 11, dtype=torch.float64)
    model = small_model(1, steps=20, patience=8).double()
    seen: list[Tensor] = []
    add = Outputs.add

    def noted(self: Outputs, output: Tensor, distance: Tensor) -> None:
        seen.append(output)
        add(self, output, distance)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outputs, "add", noted)
        got = model.denoise(noisy)
    assert model.chosen == {"stop_step": 20}
    expected = torch.stack(seen[-13:]).mean(0) * noisy.std(correction=0) + noisy.mean()
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_a_run_stops_by_itself_with_the_released_result() -> None:
    """Against a literal loop that looks at the whole image after each step, in float64."""
    noisy = torch.rand(1, 1, 12, 11, dtype=torch.float64)
    model = small_model(1, steps=1000, patience=3, lr=1e-2).double()
    torch.manual_seed(2)
    got = model.denoise(noisy)
    stop = model.chosen["stop_step"]
    assert isinstance(stop, int)
    assert 4 <= stop < 950
    literal = small_model(1).double()
    torch.manual_seed(2)
    literal.reset(noisy)
    network = literal.networks[0]
    mean, std = noisy.mean(), noisy.std(correction=0)
    image = (noisy - mean) / std
    adam = torch.optim.Adam(network.parameters(), lr=1e-2)
    outputs = []
    for _ in range(stop):
        adam.zero_grad()
        slow_term(literal, network, noisy, int(torch.randint(4, ()))).backward()
        adam.step()
        with torch.no_grad():
            outputs.append(network(image))
    expected, steps = released_loop(outputs, [F.mse_loss(output, image).item() for output in outputs], 3)
    assert steps == stop
    torch.testing.assert_close(got, expected * std + mean, rtol=0, atol=1e-8)


def test_a_constant_output_is_learned_anew_at_a_tiny_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rates = small_model(3), []
    inner = Noise2Fast.learning_rate
    monkeypatch.setattr(Noise2Fast, "learning_rate", lambda self, p: (rates.append(inner(self, p)), inner(self, p))[1])
    resets = []
    reset = Noise2Fast.reset

    def dying(self: Noise2Fast, noisy: Tensor) -> None:
        reset(self, noisy)
        resets.append(noisy)
        if len(resets) == 1:  # the second channel's network gives zeros, for good
            for parameter in self.networks[1].parameters():
                torch.nn.init.zeros_(parameter)
            self.networks[1].requires_grad_(False)
            for living in (self.networks[0], self.networks[2]):
                list(living.parameters())[-2].data.mul_(1000)  # their outputs vary by many grey levels
        else:
            self.networks[1].requires_grad_(True)
            self.num_steps = 2

    monkeypatch.setattr(Noise2Fast, "reset", dying)
    noisy = torch.rand(1, 3, 16, 16)
    result = model.denoise(noisy)
    assert len(resets) == 2
    assert {1e-3, 5e-6} <= set(rates)
    assert result[:, 1].std() > 0
    assert model.chosen == {"stop_step": "3 2 3"}, "of the training that each channel is from"


def test_a_constant_channel_is_returned_as_it_is() -> None:
    noisy = torch.rand(1, 3, 16, 16)
    noisy[:, 0] = 0.25
    result = small_model().denoise(noisy)
    assert torch.equal(result[:, 0], noisy[:, 0])
    assert torch.isfinite(result).all()


def test_networks_steps_and_impossible_settings() -> None:
    assert sum(parameter.numel() for parameter in Noise2Fast().parameters()) == 3 * 259_201
    assert sum(parameter.numel() for parameter in Noise2Fast(networks="joint").parameters()) == 260_483
    model = small_model()
    model.denoise(torch.rand(1, 3, 16, 16))
    assert model.chosen == {"stop_step": "3 3 3"}
    with pytest.raises(ValueError, match="at least 2"):
        model.denoise(torch.rand(1, 3, 1, 9))
    wrong: list[tuple[dict[str, Any], str]]
    wrong = [({"steps": 0}, r"method\.steps"), ({"patience": 0}, r"method\.patience"), ({"networks": "x"}, "joint")]
    for options, key in wrong:
        with pytest.raises(ValueError, match=key):
            small_model(**options)


@pytest.mark.slow
def test_it_learns_from_the_noisy_photograph_alone() -> None:
    assert gain_db(method_of("noise2fast", "budget=quick"), crop=96) > 4.0
