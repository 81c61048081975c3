"""A small field that nothing has trained: its surface is the hull."""

from fedloom.data.records import PARSING
from fedloom.models.kinds.field import FIELD_NETWORKS
from fedloom.models.networks.folder import make_network, save_network


def untrained_field():
    net = make_network(FIELD_NETWORKS, "usr-field-tiny", PARSING, 3, "photographs of people")
    return net.eval().requires_grad_(False)


def write_field(folder):
    folder.mkdir(exist_ok=True)
    save_network(untrained_field(), folder)
    return folder
