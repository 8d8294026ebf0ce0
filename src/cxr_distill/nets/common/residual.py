"""The basic residual block (He et al., arXiv 1512.03385, figure 2): what torchvision's is, without its import."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes.

    Names of the weights are torchvision's, so that files of either fit the other.
    """

    def __init__(self, narrow: int, wide: int, *, stride: int) -> None:
        super().__init__()
        changes = stride > 1 or narrow != wide
        # First, because torchvision's callers make it first: the random weights of a seed stay the same.
        shortcut = nn.Conv2d(narrow, wide, 1, stride=stride, bias=False) if changes else None
        self.conv1 = nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.downsample = None if shortcut is None else nn.Sequential(shortcut, nn.BatchNorm2d(wide))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, narrow, H, W) to (B, wide, H / stride, W / stride)."""
        wide = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(maps)))))
        wide += maps if self.downsample is None else self.downsample(maps)
        return self.relu(wide)
