"""What every paper leans on: the model's mechanics, noise by row, pictures in a graph, the parts of a run."""

from ganzoo.base.declared import Around as Around
from ganzoo.base.declared import Checks as Checks
from ganzoo.base.latent import LatentGAN as LatentGAN
from ganzoo.base.model import BaseGAN as BaseGAN
