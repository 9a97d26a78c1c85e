"""networkx over the wire, from a client that does not have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from bareclient import BareClient, in_bare_client, open_bare_client
from harness import start_server

if TYPE_CHECKING:
    pass


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareClient]:
    """A client of a server of networkx."""
    served = start_server("networkx", folder=tmp_path_factory.mktemp("server"))
    with open_bare_client(served, tmp_path_factory.mktemp("client")) as opened:
        yield opened
    served.stop()


@in_bare_client
def test_a_graph_of_edges() -> None:
    """Nodes, edges, degrees, membership, iteration, views."""
    import collections.abc

    import networkx as nx

    graph = nx.Graph([(1, 2, {"w": 3}), (2, 3, {"w": 1}), (1, 3, {"w": 9})])
    assert len(graph) == 3
    assert list(graph) == [1, 2, 3]
    assert list(graph.nodes) == [1, 2, 3]
    assert list(graph.edges) == [(1, 2), (1, 3), (2, 3)]
    assert sorted(graph.edges(data="w")) == [(1, 2, 3), (1, 3, 9), (2, 3, 1)]
    assert 1 in graph
    assert 7 not in graph
    assert (1, 2) in graph.edges
    assert dict(graph.degree) == {1: 2, 2: 2, 3: 2}
    assert (graph.degree(1), graph.degree[1]) == (2, 2)
    assert sorted(graph.neighbors(1)) == [2, 3]
    assert str(graph) == "Graph with 3 nodes and 3 edges"
    assert isinstance(graph, nx.Graph)
    assert not isinstance(graph, nx.DiGraph)
    assert isinstance(graph.nodes, collections.abc.Mapping)
    assert isinstance(graph.edges, collections.abc.Set)
    assert graph.nodes & [1, 2] == {1, 2}


@in_bare_client
def test_algorithms() -> None:
    """Paths, components, traversal, generators, colouring."""
    import networkx as nx

    graph = nx.Graph([(1, 2, {"w": 3}), (2, 3, {"w": 1}), (1, 3, {"w": 9})])
    assert nx.shortest_path(graph, 1, 3) == [1, 3]
    assert nx.shortest_path(graph, 1, 3, weight="w") == [1, 2, 3]
    assert nx.dijkstra_path_length(graph, 1, 3, weight="w") == 4
    assert [set(part) for part in nx.connected_components(graph)] == [{1, 2, 3}]
    assert sorted(nx.all_simple_paths(graph, 1, 3)) == [[1, 2, 3], [1, 3]]
    assert list(nx.bfs_tree(graph, 1)) == [1, 2, 3]
    assert list(nx.topological_sort(nx.DiGraph([(1, 2), (2, 3)]))) == [1, 2, 3]
    assert nx.is_connected(graph)


@in_bare_client
def test_algorithms_call_functions_of_the_client() -> None:
    """A weight that sees the data of edges, a filter, a new name, a key, a strategy."""
    import networkx as nx

    graph = nx.Graph([(1, 2, {"w": 3}), (2, 3, {"w": 1}), (1, 3, {"w": 9})])
    seen = []

    def weight(u: int, v: int, data: dict) -> int:
        seen.append((u, v))
        return data["w"]

    assert nx.shortest_path(graph, 1, 3, weight=weight) == [1, 2, 3]
    assert (1, 2) in seen
    assert list(nx.subgraph_view(graph, filter_node=lambda node: node != 3)) == [1, 2]
    assert sorted(nx.relabel_nodes(graph, lambda node: str(node))) == ["1", "2", "3"]
    fork = nx.DiGraph([(1, 2), (1, 3)])
    assert list(nx.lexicographical_topological_sort(fork, key=lambda node: -node)) == [1, 3, 2]
    assert max(graph.nodes, key=lambda node: (graph.degree(node), node)) == 3
    colours = nx.greedy_color(graph, strategy=lambda remote, _: list(remote))
    assert len(set(colours.values())) == 3


@in_bare_client
def test_what_the_graph_owns_is_read_and_written() -> None:
    """Data of nodes and edges works as a dict; writes arrive, and no read is old."""
    import json

    import networkx as nx

    graph = nx.Graph(name="roads")
    graph.add_node(5, color="red")
    graph.add_edge(1, 2, w=3)
    assert graph.nodes[5] == {"color": "red"}
    assert graph.graph == {"name": "roads"}
    assert json.dumps(graph[1][2]) == '{"w": 3}'
    for _, data in graph.nodes(data=True):
        assert isinstance(data, dict)
    edge, adjacency = graph[1][2], graph._adj
    nx.set_edge_attributes(graph, 7, "w")
    assert edge["w"] == adjacency[1][2]["w"] == 7
    graph._adj[1][2]["w"] = 8
    assert edge["w"] == 8 and nx.shortest_path_length(graph, 1, 2, weight="w") == 8
    graph.nodes[1]["color"] = "red"
    graph.graph["name"] = "streets"
    assert graph.name == "streets"
    assert nx.get_node_attributes(graph, "color") == {1: "red", 5: "red"}
    graph.remove_node(2)
    assert adjacency == {1: {}, 5: {}}


@in_bare_client
def test_errors() -> None:
    """Caught as `nx.NetworkXError`, as its subclasses, and as Exception."""
    import networkx as nx

    graph = nx.path_graph(3)
    try:
        graph.remove_node(99)
    except nx.NetworkXError as error:
        assert isinstance(error, Exception)
        assert str(error) == "The node 99 is not in the graph."
    else:
        raise AssertionError("no NetworkXError")
    try:
        nx.shortest_path(graph, 0, 99)
    except nx.NodeNotFound as error:
        assert isinstance(error, nx.NetworkXException)
    else:
        raise AssertionError("no NodeNotFound")
    try:
        nx.find_cycle(graph)
    except Exception as error:
        assert type(error) is nx.NetworkXNoCycle
    else:
        raise AssertionError("no NetworkXNoCycle")


@in_bare_client
def test_an_error_of_a_callback_comes_back_as_itself() -> None:
    """Through networkx's frames, which show between those of the client."""
    import traceback

    import networkx as nx

    class Refused(Exception):
        pass

    def weight(*_: object) -> int:
        raise Refused("no weight")

    try:
        nx.shortest_path(nx.path_graph(3), 0, 2, weight=weight)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        assert "Refused" in text
        assert "no weight" in text
        assert "networkx/algorithms/shortest_paths" in text
        assert "in weight" in text
    else:
        raise AssertionError("no error")
