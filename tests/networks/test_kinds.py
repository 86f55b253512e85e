"""The table of networks: what a row names is there, and says of the small network what it is."""

import numpy as np
import pytest
import torch

from phasegrok.networks import kinds
from phasegrok.networks.compiled.cold import check
from phasegrok.networks.kinds import NETWORKS, kernels_of, kind_of, pytorch_of, small
from phasegrok.networks.network import LOSSES
from phasegrok.networks.training.settings import Settings


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_row_leads_to_its_own_engines(kind):
    """Found again from the network that it builds; the energy in PyTorch is a finite number."""
    network = small(kind, "float64")
    assert kind_of(network) == kind
    compiled, pytorch = kernels_of(network), pytorch_of(network)
    assert type(compiled.workspace(network)) is compiled.Workspace
    for name in ("energy_and_gradient_inner", "losses_inner", "losses_from_tables"):
        assert hasattr(compiled, name)
    theta = torch.zeros(network.n_parameters, dtype=torch.float64)
    data = [torch.tensor(x) for x in network.train]
    f = pytorch.outputs(network, theta, data[0])
    assert f.shape == (len(data[0]), *network.train.targets.shape[1:]) or network.on_pairs
    loss, order = pytorch.scores(network, theta, *data, torch.ones(()))
    assert loss.shape == order.shape == (len(network.train.targets),)
    assert np.isfinite(pytorch.energy(network, theta, *data).item())


@pytest.mark.parametrize("kind, loss, order", [
    ("modular-transformer", "cross-entropy", "accuracy"),
    ("modular-mlp", "cross-entropy", "accuracy"),
    ("regression-mlp", "mse", "explained variance"),
    ("committee-machine", "mse", "explained variance")])
def test_names_of_loss_and_order_parameter(kind, loss, order):
    network = small(kind, "float32")
    assert network.loss == loss and network.loss_name == LOSSES[loss]
    assert network.order_name == order


def test_a_network_may_have_one_engine(monkeypatch):
    network = small("modular-mlp", "float32")
    row = NETWORKS["modular-mlp"]._replace(compiled=None)
    monkeypatch.setitem(kinds.NETWORKS, "modular-mlp", row)
    check(network, Settings(engine="torch"))
    with pytest.raises(ValueError, match="modular-mlp has no compiled kernels"):
        check(network, Settings())
