"""photos_128: crops with detail of photos with permissive licences.

    apt-get download lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 opencv-doc python3-skimage
    for f in *.deb; do dpkg-deb -x $f photos; done

Which photos, and whose: the column `photo` and the attribution in the sidecar. Of each photo, reduced to a short side of 192,
256, 384, 512, 768, 1024 and 1536 px (as far as it is larger), every window of 128 px at steps of 96 is looked at and kept
if `has_detail`; at most 260 of a photo. The columns `scale`, `y` and `x` say where each lies. Test photos are held back as
a whole. The full set stores WebP of quality 96 and holds photos under CC BY-SA too, which `bundle.photos` leaves out.
"""

import numpy as np
from PIL import Image

PACKAGES = (
    "Debian lomiri-wallpapers 20.04.0-2",
    "Debian opencv-doc 4.6.0+dfsg-12",
    "Debian python3-skimage 0.19.3-8",
)
FETCH = "apt-get download lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 opencv-doc python3-skimage"
SIZE, STRIDE, MOST = 128, 96, 260
DEVIATION, GRADIENT = 18, 8  # of 255 levels


def crop(photo: np.ndarray, scale: int, y: int, x: int) -> np.ndarray:
    """The window at (y, x) of an uint8 photo (h, w, 3) reduced to a short side of `scale`: uint8 (128, 128, 3)."""
    height, width, _ = photo.shape
    factor = scale / min(height, width)
    size = round(width * factor), round(height * factor)
    reduced = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))
    return reduced[y : y + SIZE, x : x + SIZE]


def has_detail(window: np.ndarray) -> bool:
    """Whether a uint8 window (h, w, 3) is more than a smooth area: by the deviation and the mean gradient of its gray."""
    gray = np.asarray(Image.fromarray(window).convert("L"), np.float64)
    return bool(gray.std() > DEVIATION and np.hypot(*np.gradient(gray)).mean() > GRADIENT)
