"""Graphs on the server."""

import wsremote

with wsremote.connect() as session:
    nx = session.modules.networkx

    roads = nx.Graph()
    roads.add_edge("Bern", "Zug", km=121)
    roads.add_edges_from([("Zug", "Chur", {"km": 119}), ("Bern", "Chur", {"km": 245})])
    roads.add_node("Malta")
    print(roads, "|", len(roads), "Chur" in roads, roads.number_of_edges())

    print(nx.shortest_path(roads, "Bern", "Chur"))
    print(nx.shortest_path(roads, "Bern", "Chur", weight="km"))
    print(nx.shortest_path_length(roads, "Bern", "Chur", weight="km"))
    print(roads.degree("Zug"), sorted(dict(roads.degree).items()))
    print(roads["Bern"]["Zug"]["km"], sorted(roads.neighbors("Bern")))
    print(sorted(sorted(island) for island in nx.connected_components(roads)))

    try:
        nx.shortest_path(roads, "Bern", "Malta")
    except nx.NetworkXNoPath as error:
        print("NetworkXNoPath:", error)
