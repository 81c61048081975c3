"""A small field that nothing has trained: its surface is the hull."""

from fedloom.data.records import PARSING
from fedloom.models.kinds.field import FIELD_NETWORKS
from fedloom.models.networks.base import draw_weights
from fedloom.models.networks.folder import save_network


def untrained_field():
    net = FIELD_NETWORKS["usr-field-tiny"].empty(len(PARSING))
    draw_weights(net, 3)
    net.network, net.labels = "usr-field-tiny", PARSING
    return net.eval().requires_grad_(False)


def write_field(folder):
    folder.mkdir(exist_ok=True)
    save_network(untrained_field(), folder)
    return folder
