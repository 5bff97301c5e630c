"""Layers with a norm behind them, under the usual names."""

from families.sample import Maker, Sample


def sample() -> Sample:
    m = Maker()
    made = []
    pairs = [
        ("stem.conv", "stem.bn", 8, 3, 3),
        ("stage.0.conv", "stage.0.norm", 4, 8, 1),
        ("stage.1.c", "stage.1.bn", 4, 1, 5),  # depthwise
        ("stage.2.convolution", "stage.2.normalization", 8, 4, 1),
        ("tail.0", "tail.1", 4, 8, 3),
        ("tail.3", "tail.4", 4, 4, 1),
    ]
    for conv, norm, out, into, k in pairs:
        m.conv(conv, out, into, k, k, bias=conv == "tail.3")
        m.norm(norm, out)
        made.append(conv)
    m.conv("project.linear", 8, 4)
    m.norm("project.bn", 8)
    m.conv("gate.conv", 4, 4, 1, 1, bias=True)  # no norm of their own
    m.conv("attention.linear", 8, 8, bias=True)
    m.conv("tail.6", 5, 4, 1, 1, bias=True)
    made.append("project.linear")
    stays = ("gate.", "attention.", "tail.6.")
    return Sample(m.state, tuple(made), stays, eps=1e-5, said=True, named=True)


SAMPLES = {("conv-bn", "side by side"): sample()}
