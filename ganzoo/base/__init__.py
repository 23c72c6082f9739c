"""What every paper leans on: the model's mechanics, noise by row, pictures in a graph, the parts of a run."""

from ganzoo.base.model import BaseGAN as BaseGAN
