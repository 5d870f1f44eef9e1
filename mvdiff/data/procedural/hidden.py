"""Attributes that a photo cannot show, with the distribution that it leaves open.

The generator draws the hidden attribute from a known prior, independently of all that the photo (azimuth 0, elevation
0 to 30 degrees) shows; so Bayes' rule in closed form gives the truth that a sampler can be tested against.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Distribution:
    """Discrete values with probabilities, and the rest of the mass uniform over an interval."""

    atoms: tuple[tuple[Any, float], ...] = ()
    interval: tuple[float, float] | None = None

    @property
    def interval_mass(self) -> float:
        return 1.0 - sum(p for _, p in self.atoms) if self.interval else 0.0

    def sample(self, rng: np.random.Generator) -> Any:
        draw = rng.uniform()
        for value, p in self.atoms:
            if draw < p:
                return value
            draw -= p
        return float(rng.uniform(*self.interval)) if self.interval else self.atoms[-1][0]

    def log_prob(self, value: Any) -> float:
        """Log of the probability of an atom, or of the density within the interval; -inf outside."""
        for atom, p in self.atoms:
            if atom == value:
                return math.log(p) if p > 0 else -math.inf
        if self.interval is None or value is None or not self.interval[0] <= value <= self.interval[1]:
            return -math.inf
        return math.log(self.interval_mass / (self.interval[1] - self.interval[0]))

    def cdf(self, value: float) -> float:
        """Probability that a value drawn from the interval lies below ``value``."""
        low, high = self.interval
        return float(np.clip((value - low) / (high - low), 0, 1))


@dataclass(frozen=True)
class HiddenAttribute:
    """An attribute that no photo from azimuth 0 shows: the photo leaves the prior as it is."""

    name: str
    kind: str
    """``choice`` (any value), ``count``, ``length`` or ``angle`` (degrees of azimuth)."""
    value: Any
    prior: Distribution

    def seen(self, elevation: float = 15.0, distance: float = 1.5) -> bool:
        """Whether a photo from azimuth 0 (angle in degrees) shows the value."""
        return False

    def condition(self, elevation: float = 15.0, distance: float = 1.5) -> Distribution:
        """The true distribution of the value given the photo."""
        return Distribution(((self.value, 1.0),)) if self.seen(elevation, distance) else self.prior


@dataclass(frozen=True)
class HiddenHandle(HiddenAttribute):
    """A handle on an upright cylinder: absent (``None``) or at an azimuth, unseen while it is behind the cylinder."""

    radius: float = 0.2
    """Radius of the cylinder around +Y, in the normalized mesh."""
    points: np.ndarray = field(default_factory=lambda: np.zeros((1, 3)), compare=False)
    """The handle's vertices, were it at azimuth 0."""
    center: float = 0.0
    """The axis meets z = ``centre``."""

    def hidden_arc(self, elevation: float = 15.0, distance: float = 1.5) -> tuple[float, float]:
        """Azimuths (degrees) at which the cylinder hides the whole handle from the camera."""
        angle = np.radians(np.arange(180.0, 90.0, -0.25))
        x = self.points[:, 0] * np.cos(angle)[:, None] + self.points[:, 2] * np.sin(angle)[:, None]
        z = self.points[:, 2] * np.cos(angle)[:, None] - self.points[:, 0] * np.sin(angle)[:, None]
        away = distance * math.cos(math.radians(elevation)) - self.center
        hidden = (np.abs(np.arctan2(x, away - z)) <= math.asin(self.radius / away)).all(1)
        half = 0.25 * max(int(np.argmin(np.append(hidden, False))) - 1, 0)
        return 180.0 - half, 180.0 + half

    def seen(self, elevation: float = 15.0, distance: float = 1.5) -> bool:
        low, high = self.hidden_arc(elevation, distance)
        return self.value is not None and not low <= self.value % 360 <= high

    def condition(self, elevation: float = 15.0, distance: float = 1.5) -> Distribution:
        if self.seen(elevation, distance):
            return Distribution(((self.value, 1.0),))
        low, high = self.hidden_arc(elevation, distance)
        absent = math.exp(self.prior.log_prob(None))
        unseen = absent + (1 - absent) * (high - low) / 360
        return Distribution(((None, absent / unseen),), (low, high))
