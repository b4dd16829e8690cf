r"""
Latent spaces: from PCA to the VAE
==================================

:Answers: questions 19 (dimensionality reduction: PCA, LDA, t-SNE; variational autoencoder against
    autoencoder), 3 (losses: the KL divergence)
:Needs: the voice ``en_US-joe-medium``; the weights of ``spkrec-ecapa-voxceleb``
:Takes: 60 s (18 s with ``--quick``) on two cores, weights fetched before

A latent space describes data by few numbers, from which the rest can be told approximately. Some
methods draw a map for the eye, some compress, some separate classes, and one can also make new
data. Each is written out here, checked, and used on a real voice.
"""

import math

import numpy as np
import torch
from common import QUICK, keep_picture, keep_sound
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

import speechkit as sk
from speechkit.augment import change_speed
from speechkit.features import VITS_FFT, VITS_HOP, VITS_MELS, VITS_RATE, vits_mel

Array = NDArray[np.float64]
TAPES = (0.88, 0.96, 1.04, 1.12)  # speeds: a made speaker for each, 1
SENTENCES = (
    "The harbour was empty when the storm came in.",
    "Seven red apples fell from the old tree.",
    "He promised to write as soon as he arrived.",
    "Most of the money had already been spent.",
    "A grey cat slept on the warm stones.",
    "They built a bridge across the river.",
    "Her brother plays the violin on Sundays.",
    "Nobody could explain what the letter meant.",
    "The last bus leaves at a quarter past ten.",
)[: 5 if QUICK else None]


def taped_embeddings(spoken: list[sk.Audio]) -> tuple[Array, Array, Array]:
    """ECAPA-TDNN's vectors [n, 192] of every sentence from every tape, the tape and the sentence."""
    taped = [change_speed(audio, speed) for audio in spoken for speed in TAPES]
    encoder = sk.load_speaker_encoder()
    torch.set_num_threads(1)  # from here on all matrices are small
    vectors = encoder.embed_many(taped)
    tape = np.tile(np.arange(len(TAPES)), len(spoken))
    return np.asarray(vectors, float), tape, np.repeat(np.arange(len(spoken)), len(TAPES))


# %%
# PCA: the directions of most variance
# ------------------------------------
#
# Principal component analysis turns the axes so that the first shows the most variance, the second
# the most of the rest, and so on. The first few are then the best linear summary: no other
# projection to as many numbers loses less squared error. The axes are the right singular vectors of
# the centred data.
#
# .. math::
#
#    X - \bar x = U S V^\top, \qquad Z = (X - \bar x) V_k, \qquad
#    \lVert X - \bar x - Z V_k^\top \rVert^2 = \sum_{i > k} s_i^2 .


def pca(x: Array, k: int) -> tuple[Array, Array]:
    """The first k axes [k, d] and all singular values."""
    _, s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return vt[:k], s


if __name__ == "__main__":
    from sklearn.decomposition import PCA

    voice = sk.load_tts("en_US-joe-medium")
    spoken = [voice.synthesize(text, seed=seed) for seed, text in enumerate(SENTENCES)]
    vectors, tape, sentence = taped_embeddings(spoken)
    centred = vectors - vectors.mean(axis=0)
    axes, singular = pca(vectors, 2)
    plane = centred @ axes.T  # [n, 2]
    reference = PCA(2, svd_solver="full").fit_transform(vectors)
    pca_difference = np.abs(np.abs(plane) - np.abs(reference)).max()  # signs are free
    lost = ((centred - plane @ axes) ** 2).sum()
    print(
        f"PCA of {vectors.shape} beside scikit-learn: {pca_difference:.1e}; two axes keep ", end=""
    )
    print(f"{1 - lost / (centred**2).sum():.0%} of the variance")
    assert pca_difference < 1e-8, "the projections are not scikit-learn's"
    assert np.isclose(lost, (singular[2:] ** 2).sum()), "what is lost are the other singular values"

# %%
# LDA: the directions that separate classes
# -----------------------------------------
#
# Linear discriminant analysis knows the classes. It looks for directions in which the class means
# lie far apart while each class stays narrow. PCA does not know classes, so its axes may follow
# something else, such as what is said.
#
# .. math::
#
#    \max_v \frac{v^\top S_b v}{v^\top S_w v} \;\Rightarrow\; S_b v = \lambda S_w v, \qquad
#    S_w = \sum_c \sum_{i \in c} (x_i - \mu_c)(x_i - \mu_c)^\top, \quad
#    S_b = \sum_c n_c (\mu_c - \mu)(\mu_c - \mu)^\top .
#
# With fewer recordings than numbers :math:`S_w` has no inverse: so first PCA, then this. And with
# few recordings it finds separations that are not there, so it is judged on sentences it never saw.
# There it loses its lead, and PCA does no worse: the speed of the tape is where most variance lies.
# The toy at the end has its classes where least variance lies, and there PCA finds nothing.

BEFORE = 6  # axes of PCA that LDA may use


def scatters(x: Array, label: Array) -> tuple[Array, Array]:
    """Within and between the classes: two of [d, d]."""
    within = between = np.zeros((x.shape[1], x.shape[1]))
    for c in np.unique(label):
        own = x[label == c]
        gap = own.mean(axis=0) - x.mean(axis=0)
        within = within + (own - own.mean(axis=0)).T @ (own - own.mean(axis=0))
        between = between + len(own) * np.outer(gap, gap)
    return within, between


def lda(x: Array, label: Array, k: int) -> Array:
    """The k best directions [k, d]."""
    from scipy.linalg import eigh

    within, between = scatters(x, label)
    return eigh(between, within)[1][:, ::-1][:, :k].T  # eigenvalues come ascending


def separation(x: Array, label: Array) -> float:
    """Variance between the classes over variance within, in all directions together."""
    within, between = scatters(x, label)
    return float(np.trace(between) / np.trace(within))


if __name__ == "__main__":
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    seen = sentence < len(SENTENCES) * 2 // 3
    first_axes, _ = pca(vectors[seen], BEFORE)
    reduced = (vectors - vectors[seen].mean(axis=0)) @ first_axes.T
    directions = lda(reduced[seen], tape[seen], 2)
    by_class = reduced @ directions.T
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(reduced[seen], tape[seen])
    theirs = theirs.transform(reduced)[:, :2]
    lda_cosine = min(
        abs(np.corrcoef(ours, other)[0, 1])
        for ours, other in zip(by_class.T, theirs.T, strict=True)
    )
    print(f"LDA beside scikit-learn: least correlation of an axis {lda_cosine:.9f}")
    assert lda_cosine > 1 - 1e-6, "the directions are not scikit-learn's"
    apart = {
        name: [separation(z[rows], tape[rows]) for rows in (seen, ~seen)]
        for name, z in (("PCA", reduced[:, :2]), ("LDA", by_class))
    }
    for name, (known, new) in apart.items():
        print(f"{name}: variance between over within: {known:.1f}; on unseen sentences {new:.1f}")
    assert apart["LDA"][0] > 2 * apart["PCA"][0], "LDA looks for what is measured"
    assert apart["LDA"][1] < 0.8 * apart["LDA"][0], "and is too hopeful about it"
    assert apart["PCA"][1] > 0.8 * apart["LDA"][1], "here PCA's axes separate new sentences too"

    two = np.arange(200) % 2  # a toy: wide in one direction, two classes along the other
    wide = np.random.default_rng(0).normal(size=(200, 2)) * [10, 1] + np.outer(two, [0, 4])
    toy_apart = [separation(wide @ v.T, two) for v in (pca(wide, 1)[0], lda(wide, two, 1))]
    print(f"classes across the widest direction: PCA {toy_apart[0]:.2f}, LDA {toy_apart[1]:.2f}")
    assert toy_apart[0] < 0.1 < 2 < toy_apart[1], "the most variance need not be the classes"

# %%
# t-SNE: a map of neighbours
# --------------------------
#
# t-SNE draws a map in which neighbours stay neighbours. It gives every pair of points a probability
# of being neighbours, once in the data and once on the map, and moves the points of the map until
# the two distributions agree as well as they can. On the map the probability falls off slowly, with
# heavy tails, so that points that are not neighbours can be pushed far apart. Distances between
# clusters and their sizes mean nothing afterwards, and new points can't be placed.
#
# .. math::
#
#    p_{j|i} \propto e^{-\lVert x_i - x_j \rVert^2 / 2 \sigma_i^2}, \quad
#    p_{ij} = \frac{p_{j|i} + p_{i|j}}{2n}, \quad
#    q_{ij} \propto \frac{1}{1 + \lVert y_i - y_j \rVert^2}, \quad
#    L = \sum_{i \ne j} p_{ij} \log \frac{p_{ij}}{q_{ij}} .
#
# Each :math:`\sigma_i` is chosen so that a point has a given number of neighbours, the perplexity:
# two to the power of the entropy of :math:`p_{\cdot | i}`. UMAP is a relative: it builds a graph of
# nearest neighbours and lays it out by attraction along edges and repulsion of random pairs. It is
# faster on many points and can place new ones; what is said about distances holds for it too.
#
# On a few dozen points the plane of PCA can be as good a map: it has the larger loss, but by
# trustworthiness, which is 1 where all neighbours on the map are neighbours in the data, both are
# about equal.


def neighbour_probabilities(x: Array, perplexity: float) -> Array:
    """p_ij [n, n], each point's width found by halving an interval."""
    square = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    p = np.zeros_like(square)
    for i, row in enumerate(square):
        others = np.arange(len(x)) != i
        low, high = -10.0, 20.0  # logarithm of 1 / 2 sigma²
        for _ in range(60):
            middle = (low + high) / 2
            weight = np.exp(-(row[others] - row[others].min()) * math.exp(middle))
            weight /= weight.sum()
            entropy = -(weight * np.log(np.maximum(weight, 1e-300))).sum()
            low, high = (middle, high) if entropy > math.log(perplexity) else (low, middle)
        p[i, others] = weight
    return (p + p.T) / (2 * len(x))


def map_loss(p: Array, y: Array) -> float:
    """The KL divergence of a map [n, 2] from the neighbours in the data."""
    q = 1 / (1 + ((y[:, None] - y[None]) ** 2).sum(axis=2))
    np.fill_diagonal(q, 0)
    pairs = ~np.eye(len(y), dtype=bool)
    return float((p[pairs] * np.log(np.maximum(p[pairs], 1e-300) / (q / q.sum())[pairs])).sum())


if __name__ == "__main__":
    from sklearn.manifold import TSNE, trustworthiness

    mapper = TSNE(2, perplexity=8, method="exact", init="pca", random_state=0)
    chart = mapper.fit_transform(vectors).astype(float)
    neighbours = neighbour_probabilities(vectors, 8)
    tsne_loss = map_loss(neighbours, chart)
    print(
        f"t-SNE's loss by hand {tsne_loss:.5f}, scikit-learn's {mapper.kl_divergence_:.5f}; ",
        end="",
    )
    print(f"of the plane of PCA {map_loss(neighbours, plane):.5f}")
    assert abs(tsne_loss - mapper.kl_divergence_) < 1e-3, "the loss is not scikit-learn's"
    assert tsne_loss < map_loss(neighbours, plane), "the map is made for this loss"
    trust = {
        name: round(float(trustworthiness(vectors, y, n_neighbors=5)), 3)
        for name, y in (("PCA", plane), ("t-SNE", chart))
    }
    print(f"trustworthiness of the maps, 1 at best: {trust}")
    assert min(trust.values()) > 0.85, "both maps keep neighbours; a map at random has 0.5"
    assert abs(trust["PCA"] - trust["t-SNE"]) < 0.06, "the plane is as good a map here"

    rng = np.random.default_rng(0)
    three = rng.normal(size=(90, 10)) + np.repeat([0, 12, 60], 30)[:, None] * np.eye(10)[0]
    toy = TSNE(2, perplexity=10, method="exact", init="random", random_state=0).fit_transform(three)
    middles = toy.reshape(3, 30, 2).mean(axis=1)
    near, far = (float(np.linalg.norm(middles[1] - middles[i])) for i in (0, 2))
    distance_ratio = far / near
    print(f"a cluster 4 times as far as another lies {distance_ratio:.2f} times as far on the map")
    assert distance_ratio < 2.5, "distances between clusters are not kept"

# %%
# The autoencoder: a bottleneck
# -----------------------------
#
# An autoencoder is a network that must give back its input through few numbers. The first half, the
# encoder, compresses; the second, the decoder, restores. If both are linear it can do no better
# than PCA; with bends between it can follow curved data. It says nothing about where in the latent
# space data lie: between two codes and beyond them the decoder does as it likes.
#
# The data are patches of log-mel spectrograms of the voice: 16 frames of 80 bands, a fifth of a
# second, 1,280 numbers each.

FRAMES, LATENT, HIDDEN = 16, 8, 200
STEPS = 150 if QUICK else 2000


def patches(spoken: list[sk.Audio], step: int = 2) -> Tensor:
    """Log-mel patches [n, 1280]."""
    mels = [vits_mel(torch.tensor(audio.samples)) for audio in spoken]  # [80, frames]
    cut = [mel.unfold(1, FRAMES, step).transpose(0, 1).flatten(1) for mel in mels]
    return torch.cat(cut)


class Coder(nn.Module):
    """Encoder and decoder; the encoder gives mean and log variance of each latent number."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT)
        )
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, size))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 8)


# %%
# The VAE: a bottleneck with a map
# --------------------------------
#
# A variational autoencoder encodes each input as a small cloud in place of a point, and keeps all
# clouds together near a standard normal distribution. The cloud makes nearby codes mean similar
# things, and the common distribution tells where to draw codes from. So the decoder can make new
# data; an autoencoder only restores old ones.
#
# It is trained as a model of the data: a code :math:`z` is drawn from a prior :math:`p(z)`, and
# data from :math:`p(x|z)`. The likelihood sums over all codes and can't be computed. But for any
# :math:`q(z|x)`, Jensen's inequality moves the logarithm inside the mean:
#
# .. math::
#
#    \log p(x) = \log \mathbb E_{q} \frac{p(x|z)\, p(z)}{q(z|x)} \;\ge\;
#    \mathbb E_q \log p(x|z) - \mathrm{KL}\bigl(q(z|x) \,\Vert\, p(z)\bigr) = \mathrm{ELBO} .
#
# The difference of both sides is :math:`\mathrm{KL}(q(z|x) \Vert p(z|x))`: raising the bound also
# draws :math:`q` to the true posterior. With normal :math:`q` and standard normal :math:`p` the
# second term has a closed form, and with a normal :math:`p(x|z)` of variance 1 the first is half
# the squared error, up to a constant.
#
# .. math:: \mathrm{KL} = \tfrac12 \sum_i \bigl( \mu_i^2 + \sigma_i^2 - 1 - \log \sigma_i^2 \bigr) .


def kl_to_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, variance) from N(0, 1), nats: [n, d], [n, d] -> [n]."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)


# %%
# Both checked: the closed form against samples and torch, and the bound where everything is known.
# With :math:`z \sim N(0, 1)` and :math:`x | z \sim N(wz, 1)`, the likelihood is :math:`N(0, w^2 +
# 1)` and the posterior is normal, so the gap between bound and likelihood can be written down.

if __name__ == "__main__":
    from torch.distributions import Normal, kl_divergence

    torch.manual_seed(0)
    m, v = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.3, 2.0]])
    closed = float(kl_to_standard(m, v.log()))
    q, standard = Normal(m, v.sqrt()), Normal(0.0, 1.0)
    drawn = q.sample((200_000,))
    kl_sampled = float((q.log_prob(drawn) - standard.log_prob(drawn)).sum(dim=2).mean())
    kl_torch = float(kl_divergence(q, standard).sum())
    print(f"KL divergence: closed {closed:.4f}, sampled {kl_sampled:.4f}, torch {kl_torch:.4f}")
    assert abs(closed - kl_torch) < 1e-5, "the closed form is not torch's"
    assert abs(closed - kl_sampled) < 0.02, "nor what samples say"

    w, x = 2.0, torch.tensor(1.5)
    evidence = float(Normal(0.0, math.sqrt(w * w + 1)).log_prob(x))
    posterior = Normal(w * x / (w * w + 1), 1 / math.sqrt(w * w + 1))
    gaps = []
    for guess in (Normal(torch.tensor(0.0), 1.0), Normal(torch.tensor(0.4), 0.6), posterior):
        miss = (x - w * guess.mean) ** 2 + w * w * guess.variance  # E (x - w z)²
        elbo = (
            -0.5 * float(miss) - 0.5 * math.log(2 * math.pi) - float(kl_divergence(guess, standard))
        )
        gaps.append((evidence - elbo, float(kl_divergence(guess, posterior))))
        print(
            f"log likelihood {evidence:.4f}, bound {elbo:.4f}, KL to the posterior {gaps[-1][1]:.4f}"
        )
    elbo_difference = max(abs(gap - kl) for gap, kl in gaps)
    assert elbo_difference < 1e-5, "the gap is the divergence from the posterior"
    assert abs(gaps[2][0]) < 1e-5 < 0.1 < min(gaps[0][0], gaps[1][0]), (
        "tight at the posterior alone"
    )

# %%
# The reparametrisation trick
# ---------------------------
#
# A draw has no derivative: the loss is a mean over random codes whose distribution depends on the
# weights. The trick writes a draw as a fixed function of outside noise, so the gradient goes
# through it as through any layer. The older way, the score function, needs no derivative of the
# loss, but its estimates scatter far more.
#
# .. math::
#
#    z = \mu + \sigma \varepsilon, \quad \varepsilon \sim N(0, 1): \qquad
#    \frac{\partial}{\partial \mu} \mathbb E f(z) = \mathbb E f'(\mu + \sigma \varepsilon)
#    = \mathbb E\, f(z) \frac{z - \mu}{\sigma^2} .
#
# With :math:`f(z) = z^2` the mean is :math:`\mu^2 + \sigma^2` and both derivatives are known:
# :math:`2\mu` and :math:`2\sigma`.


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A code from each cloud, through which gradients pass: [n, d]."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


if __name__ == "__main__":
    torch.manual_seed(0)
    mean, spread = 1.5, 0.7
    mu = torch.full((100_000, 1), mean, requires_grad=True)
    log_variance = torch.full((100_000, 1), 2 * math.log(spread), requires_grad=True)
    codes = draw(mu, log_variance)
    (codes**2).sum().backward()
    through = mu.grad[:, 0]  # one estimate from each draw
    to_sigma = float(log_variance.grad.mean()) * 2 / spread  # by the chain rule
    by_score = (codes**2 * (codes - mu) / spread**2).detach()[:, 0]
    gradient = {
        "known": 2 * mean,
        "through": round(float(through.mean()), 4),
        "score": round(float(by_score.mean()), 4),
    }
    scatter = {k: round(float(v.std()), 3) for k, v in (("through", through), ("score", by_score))}
    print(f"gradient by the mean {gradient}; deviation of one estimate {scatter}")
    print(f"gradient by the deviation {to_sigma:.4f}, known {2 * spread}")
    assert abs(gradient["through"] - 2 * mean) < 0.03, "the trick is not biased"
    assert abs(gradient["score"] - 2 * mean) < 0.15, "nor is the score function"
    assert abs(to_sigma - 2 * spread) < 0.03, "the deviation learns too"
    assert scatter["score"] > 3 * scatter["through"], "but it scatters more"

# %%
# Trained: what the weight of the KL divergence does
# --------------------------------------------------
#
# The weight of the KL divergence trades restoring against order. With weight 0 and no noise the
# network is an autoencoder. A larger weight makes the clouds wider and more alike; a latent number
# that is not worth its nats is given up and carries nothing. Very large weights give up all of
# them: the posterior collapses to the prior, and every input is restored as the mean.
#
# Samples are judged by the Fréchet distance to real patches the training never saw: both sets are
# projected to eight axes of PCA and summarised by mean and covariance (Heusel et al., 2017, do so
# with pictures).
#
# .. math::
#
#    d^2 = \lVert \mu_1 - \mu_2 \rVert^2 + \mathrm{tr}\bigl( \Sigma_1 + \Sigma_2
#    - 2 (\Sigma_1 \Sigma_2)^{1/2} \bigr) .


def train(x: Tensor, beta: float | None) -> Coder:
    """An autoencoder for None, else a VAE with this weight of the KL divergence."""
    torch.manual_seed(0)
    model = Coder(x.shape[1])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(STEPS):
        batch = x[torch.randint(len(x), (32,))]
        mean, log_variance = model.encode(batch)
        code = mean if beta is None else draw(mean, log_variance)
        loss = 0.5 * ((model.decoder(code) - batch) ** 2).sum(dim=1).mean()
        if beta is not None:
            loss = loss + beta * kl_to_standard(mean, log_variance).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


def frechet(a: Array, b: Array) -> float:
    """Fréchet distance of two sets of rows, as if normal."""
    from scipy.linalg import sqrtm

    first, second = np.cov(a.T), np.cov(b.T)
    both = np.real(sqrtm(first @ second))
    square = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(first + second - 2 * both)
    return float(math.sqrt(max(square, 0.0)))


BETAS = (None, 1.0, 10.0, 1000.0)  # None: the autoencoder

if __name__ == "__main__":
    parts = patches(spoken[:-2])
    centre, scale = parts.mean(dim=0), parts.std()
    known, new = ((some - centre) / scale for some in (parts, patches(spoken[-2:])))
    sample_axes, _ = pca(known.numpy(), LATENT)
    by_pca = float(((new.numpy() - new.numpy() @ sample_axes.T @ sample_axes) ** 2).mean())
    floor = frechet(known.numpy() @ sample_axes.T, new.numpy() @ sample_axes.T)
    print(
        f"{len(known)} patches to train on, {len(new)} new; {LATENT} axes of PCA leave {by_pca:.3f} "
    )
    print(f"of the new ones' variance {float((new**2).mean()):.3f}; ", end="")
    print(f"distance of training and new patches {floor:.1f}")
    coders, restored, nats, alive, sampled, width = {}, {}, {}, {}, {}, {}
    for beta in BETAS:
        coders[beta] = model = train(known, beta)
        with torch.no_grad():
            mean, log_variance = model.encode(new)
            restored[beta] = float(((model.decoder(mean) - new) ** 2).mean())
            divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean(dim=0)
            code = torch.randn(2000, LATENT, generator=torch.Generator().manual_seed(1))
            sampled[beta] = frechet(
                model.decoder(code).numpy() @ sample_axes.T, new.numpy() @ sample_axes.T
            )
        name = "autoencoder" if beta is None else f"VAE, weight {beta:g}"
        nats[beta], alive[beta] = float(divergence.sum()), int((divergence > 0.1).sum())
        width[beta] = float((log_variance / 2).exp().mean())
        print(
            f"{name:16s} restores with error {restored[beta]:.3f}; samples at {sampled[beta]:6.1f}",
            end="",
        )
        if beta is not None:
            print(f"; KL {nats[beta]:.1f} nats, {alive[beta]} numbers in use", end="")
            print(f", clouds {width[beta]:.2f} wide", end="")
        print()
    assert sampled[1.0] < sampled[None], "the decoder knows the prior's codes"
    assert sampled[10.0] < 0.85 * sampled[None], "still better, the nearer the clouds lie to it"
    assert sampled[10.0] < sampled[1.0], "than with a smaller weight too"
    assert restored[1000.0] > 1.5 * restored[10.0], "order is paid for"
    assert restored[10.0] > restored[1.0], "from a weight of 10 on it shows"
    assert abs(restored[1000.0] / float((new**2).mean()) - 1) < 0.1, "all are restored as the mean"
    assert QUICK or restored[None] < by_pca, "with bends it follows more than straight axes do"
    assert nats[1.0] > nats[10.0] > nats[1000.0], "the weight presses on the divergence"
    assert width[1.0] < width[10.0] < width[1000.0], "and widens the clouds"
    assert abs(width[1000.0] - 1) < 0.05, "up to the prior's width"
    assert alive[1000.0] == 0 < alive[1.0], "numbers not worth their nats are given up"

# %%
# Is it fair to draw the autoencoder's codes from a standard normal distribution that it was never
# told about? A normal distribution fitted to its codes after training is the usual repair. By this
# distance, which looks at means and covariances only, the repaired autoencoder is even nearer to
# the data than the VAE: a fitted shape can be better than one that was agreed before. What a VAE
# has is the agreement. Its prior is known before training, so other parts, such as a text encoder,
# can be trained towards it.

if __name__ == "__main__":
    with torch.no_grad():
        codes = coders[None].encode(known)[0]
        root = torch.linalg.cholesky(codes.T.cov() + 1e-6 * torch.eye(LATENT))
        repaired = coders[None].decoder(codes.mean(dim=0) + code @ root.T)
    sampled_repaired = frechet(repaired.numpy() @ sample_axes.T, new.numpy() @ sample_axes.T)
    print(f"the autoencoder with a normal distribution fitted to its codes: {sampled_repaired:.1f}")
    assert sampled_repaired < 0.8 * sampled[None], "it helps to know where the codes lie"
    assert sampled_repaired < min(sampled[1.0], sampled[10.0]), "even more than a prior does"

# %%
# Between two sounds
# ------------------
#
# Interpolation walks along a straight line between two codes and decodes on the way. In a good
# latent space the way has no jumps, and what lies between two sounds is like a sound. Mixing the two
# spectrograms in place of the codes gives both at once, one fading into the other.
#
# The number below tells of jumps alone. Whether it is like a sound, the ear and the pictures tell.
# The patches are made audible by the pseudo-inverse of the mel filters and Griffin-Lim, which finds
# phases that fit the magnitudes. The sound goes from one patch to another in nine steps.


def heard(mels: Tensor) -> sk.Audio:
    """Log-mel patches [n, 80, frames], one after another, as sound."""
    import torchaudio

    filters = torchaudio.functional.melscale_fbanks(
        VITS_FFT // 2 + 1,
        0.0,
        VITS_RATE / 2,
        VITS_MELS,
        VITS_RATE,
        norm="slaney",
        mel_scale="slaney",
    )  # [513, 80]
    mel = torch.cat(list(mels), dim=1).exp()  # [80, n frames]
    magnitude = (torch.linalg.pinv(filters.T) @ mel).clamp(min=0)
    torch.manual_seed(0)
    wave = torchaudio.transforms.GriffinLim(VITS_FFT, hop_length=VITS_HOP, power=1.0)(magnitude)
    return sk.Audio((0.7 * wave / wave.abs().max()).numpy(), VITS_RATE)


if __name__ == "__main__":
    loud = new.sum(dim=1).argsort(descending=True)[: len(new) // 2]  # speech, not pauses
    far = int(torch.cdist(new[loud[:1]], new[loud]).argmax())  # the least alike
    ends = new[loud[[0, far]]]
    share = torch.linspace(0, 1, 9)[:, None]
    steps = {}
    with torch.no_grad():
        for beta in (None, 1.0):
            first, last = coders[beta].encode(ends)[0]
            way = coders[beta].decoder((1 - share) * first + share * last)
            moved = way.diff(dim=0).norm(dim=1)
            steps[beta] = float(moved.max() / moved.mean())
    between = (way * scale + centre).unflatten(1, (VITS_MELS, FRAMES))
    print(f"largest step over mean step: autoencoder {steps[None]:.2f}, VAE {steps[1.0]:.2f}")
    assert steps[1.0] < 2, "the way has no jump; with a single one it would be 8"
    sound = heard(between)
    expected = len(between) * FRAMES * VITS_HOP / VITS_RATE
    print(f"{len(between)} patches, {sound.duration:.2f} s of sound")
    assert abs(sound.duration - expected) < 0.05, "a patch after the other"
    keep_sound(sound, "latent_between")
    mixed = ((1 - share) * ends[0] + share * ends[1]) * scale + centre
    keep_sound(heard(mixed.unflatten(1, (VITS_MELS, FRAMES))), "latent_mixed")

# %%
# The pictures
# ------------
#
# First the four made speakers on three maps. Then patches: from one sound to another, and drawn
# from nothing.


def draw_maps(maps: dict[str, Array], tape: Array) -> Figure:
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    for axes, (name, y) in zip(figure.subplots(1, len(maps)), maps.items(), strict=True):
        points = axes.scatter(*y.T, c=np.array(TAPES)[tape], cmap="viridis")
        axes.set(title=name, xlabel="first coordinate (1)", ylabel="second coordinate (1)")
    figure.colorbar(points, ax=axes, label="speed of the tape (1)")
    return figure


def draw_patches(rows: dict[str, Tensor]) -> Figure:
    figure = Figure(figsize=(13, 6), layout="constrained")
    grid = figure.subplots(len(rows), 9)
    for line, (name, mels) in zip(grid, rows.items(), strict=True):
        for axes, mel in zip(line, mels, strict=True):
            extent = (0, 1000 * FRAMES * VITS_HOP / VITS_RATE, 0, VITS_MELS)
            image = axes.imshow(
                mel.numpy(), origin="lower", aspect="auto", extent=extent, vmin=-11.5, vmax=1
            )
            axes.set(xticks=[], yticks=[])
        line[0].set(yticks=[0, 40, 80], ylabel=f"{name}\nmel band")
    for axes in grid[-1]:
        axes.set(xticks=[0, 100], xlabel="time, ms")
    figure.colorbar(image, ax=grid, label="ln of the mel magnitude")
    return figure


if __name__ == "__main__":
    keep_picture(draw_maps({"PCA": plane, "LDA": by_class, "t-SNE": chart}, tape), "latent_maps")
    with torch.no_grad():
        drawn = {beta: coders[beta].decoder(code[:9]) * scale + centre for beta in (None, 1.0)}
    rows = {
        "between, VAE": between,
        "mixed": mixed.unflatten(1, (VITS_MELS, FRAMES)),
        "drawn, VAE": drawn[1.0].unflatten(1, (VITS_MELS, FRAMES)),
        "drawn, AE": drawn[None].unflatten(1, (VITS_MELS, FRAMES)),
    }
    keep_picture(draw_patches(rows), "latent_patches")

# %%
# Which method, when? And where is it in VITS?
# --------------------------------------------
#
# PCA compresses and removes correlations, LDA separates known classes, t-SNE and UMAP are for
# looking. An autoencoder compresses where straight lines do not suffice, and a VAE is for drawing
# new data.
#
# ============  ==========  ==============  ====================  ===========================
# method        uses        new points      keeps                 use it
# ============  ==========  ==============  ====================  ===========================
# PCA           nothing     yes             variance              first; before other learners
# LDA           classes     yes             separation            few classes, many rows
# t-SNE, UMAP   nothing     UMAP only       neighbours            to look, never to measure
# autoencoder   nothing     yes             what restores         compression, denoising
# VAE           nothing     yes, and draws  what restores, in     generation, smooth codes
#                                           a known shape
# ============  ==========  ==============  ====================  ===========================
#
# VITS is a VAE. Its posterior encoder makes a mean and a deviation for each frame of a
# spectrogram, a code is drawn by the reparametrisation trick, and the decoder makes the waveform.
# But its prior is not the standard normal distribution: it depends on the text, by a text encoder
# and a flow, so the KL divergence has no closed form any more and is computed at the drawn code.
# ``32_vits_objective.py`` derives it, and ``33_vits_training.py`` trains with it.

# %%
# What this recipe does not do
# ----------------------------
#
# The patches are few and of one voice, and the networks small: their samples are blurred, since a
# squared error is content with means. The Fréchet distance looks at eight axes only. There are no
# discrete codes (VQ-VAE), no diffusion, no flows (``30_flows.py``).
#
# Exercises
# ---------
#
# 1. Make encoder and decoder linear. How near does the error come to that of PCA, and the codes?
# 2. Run t-SNE with perplexities of 2 and 25. What stays the same?
# 3. Raise the weight of the KL divergence slowly during training. How many numbers stay in use?
# 4. Learn the variance of :math:`p(x|z)`. Which weight does it correspond to?
# 5. Walk from one tape's mean embedding to another's. Where does the nearest speaker change?
#
# Papers
# ------
#
# - Williams, 1992: Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
#   Learning (the score function).
# - van der Maaten, Hinton, 2008: Visualizing Data using t-SNE.
# - Kingma, Welling, 2014: Auto-Encoding Variational Bayes.
# - Rezende, Mohamed, Wierstra, 2014: Stochastic Backpropagation and Approximate Inference in Deep
#   Generative Models.
# - Higgins et al., 2017: beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
#   Framework.
# - Heusel et al., 2017: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
#   Equilibrium (the Fréchet distance of samples).
# - McInnes, Healy, Melville, 2018: UMAP: Uniform Manifold Approximation and Projection for
#   Dimension Reduction.
# - Kim, Kong, Son, 2021: Conditional Variational Autoencoder with Adversarial Learning for
#   End-to-End Text-to-Speech.
