"""Adversarial loss: the discriminator learns, the generator loss decreases, training resumes bit for bit."""

import pytest
import torch
from facesr_edge.training.data.faces import FacePairs
from facesr_edge.training.losses.discriminator import Adversary, Discriminator
from facesr_edge.training.losses.losses import Criterion
from facesr_edge.training.recipe import Recipe
from facesr_edge.training.trainer import train
from torch import nn
from torch.nn import functional as F


def samples(n=8, side=16):
    """Blurred ("fake") and sharp ("real") pictures."""
    real = torch.rand(n, 3, side, side)
    return F.avg_pool2d(real, 3, stride=1, padding=1), real


def test_the_discriminator_has_eight_convolutions_and_accepts_any_size():
    network = Discriminator()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert all(layer.kernel_size == (3, 3) for layer in layers)
    with torch.inference_mode():
        assert Discriminator(8)(torch.rand(3, 3, 24, 40)).shape == (3,)
        assert Discriminator(8)(torch.rand(1, 3, 1, 1)).shape == (1,)


def test_logits_do_not_depend_on_other_pictures_of_the_batch():
    network, (_, faces) = Discriminator(8), samples()
    with torch.inference_mode():
        assert torch.allclose(network(faces)[:1], network(faces[:1]), atol=1e-5)


def test_the_discriminator_learns_to_separate_unseen_pictures():
    adversary = Adversary(1e-3, width=8)
    losses = [adversary.train_step(*samples()) for _ in range(60)]
    assert losses[-1] < 0.3 < 1 < losses[0]
    with torch.inference_mode():
        fake, real = (adversary.discriminator(faces) for faces in samples(16))
    assert float(fake.max()) < float(real.min())


def test_discriminator_loss_is_cross_entropy_and_generator_loss_minus_log_d():
    adversary, (sr, hr) = Adversary(1e-3, width=8), samples()
    with torch.inference_mode():
        fake, real = (torch.sigmoid(adversary.discriminator(faces).double()) for faces in (sr, hr))
        assert float(adversary.generator_loss(sr)) == pytest.approx(float(-fake.log().mean()), rel=1e-4)
    assert adversary.train_step(sr, hr) == pytest.approx(float(-(1 - fake).log().mean() - real.log().mean()), rel=1e-4)


def test_the_generator_loss_decreases_along_its_gradient():
    adversary = Adversary(1e-3, width=8)
    for _ in range(30):
        adversary.train_step(*samples())
    fixed = adversary.discriminator.state_dict()["convolutions.0.weight"].clone()
    sr = samples()[0].requires_grad_()
    before = float(adversary.generator_loss(sr).detach())
    for _ in range(10):
        adversary.generator_loss(sr).backward()
        with torch.no_grad():
            sr -= 0.02 * sr.grad.sign()
            sr.grad = None
    assert float(adversary.generator_loss(sr).detach()) < 0.5 * before
    assert all(weight.grad is None for weight in adversary.discriminator.parameters())
    assert torch.equal(adversary.discriminator.state_dict()["convolutions.0.weight"], fixed)


def test_training_the_discriminator_leaves_no_gradient_in_the_pictures():
    adversary, (sr, hr) = Adversary(1e-3, width=8), samples()
    sr.requires_grad_()
    criterion = Criterion({"l1": 1.0, "adversarial": 0.5}, adversary=adversary)
    before = [weight.clone() for weight in adversary.discriminator.parameters()]
    loss = criterion(sr, hr)
    expected = (sr - hr).abs().mean() + 0.5 * adversary.generator_loss(sr)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert sr.grad is None
    assert not torch.equal(before[0], next(adversary.discriminator.parameters()))
    loss.backward()
    assert all(weight.grad is None for weight in adversary.discriminator.parameters())


def test_initial_weights_depend_on_the_seed_and_keep_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (Adversary(1e-3, seed=seed, width=8).discriminator.state_dict() for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    assert torch.equal(one["classifier.weight"], same["classifier.weight"])
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


class AdversarialPairs(FacePairs):
    """The real task with a small adversary; can be interrupted at a step."""

    def __init__(self, plan, faces, stop_at=None):
        adversary = Adversary(plan.learning_rate, plan.beta1, plan.seed, width=4)
        super().__init__(plan, faces, None, Criterion(plan.losses, adversary=adversary))
        self.remaining = stop_at

    def loss(self, network, batch):
        if self.remaining == 0:
            raise KeyboardInterrupt
        self.remaining = self.remaining and self.remaining - 1
        return super().loss(network, batch)


@pytest.mark.parametrize("bf16", [False, True])
def test_adversarial_training_resumes_bit_for_bit(tmp_path, faces, bf16):
    config = {"depth": 1, "width": 8, "scale": 2, "bicubic_skip": True}
    losses = {"l1": 0.9, "adversarial": 0.1}
    plan = Recipe("idrn", config, 6, 2, 24, 1e-3, losses=losses, beta1=0.5, weight_decay=1e-3, bf16=bf16)
    whole, rest = AdversarialPairs(plan, faces), AdversarialPairs(plan, faces)
    expected = train(plan, whole, tmp_path / "whole", lambda _: None, save_every=2).state_dict()
    with pytest.raises(KeyboardInterrupt):
        train(plan, AdversarialPairs(plan, faces, 5), tmp_path / "parts", lambda _: None, save_every=2)
    got = train(plan, rest, tmp_path / "parts", lambda _: None, save_every=2).state_dict()
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    ends = [task.criterion.adversary.discriminator.state_dict() for task in (whole, rest)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    start = AdversarialPairs(plan, faces).criterion.adversary.discriminator.state_dict()
    assert not torch.equal(start["classifier.weight"], ends[0]["classifier.weight"])
