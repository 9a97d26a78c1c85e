"""pandas, with neither pandas nor numpy on this side."""

import wsremote

with wsremote.connect() as session:
    pd = session.modules.pandas

    df = pd.DataFrame([{"a": 1, "kind": "x"}, {"a": 2, "kind": "y"}, {"a": 4, "kind": "x"}])
    print(df)
    print(len(df), list(df.columns), df.shape)

    print((df["a"] + 1).tolist())
    print(df[df["a"] > 1].to_dict("records"))
    print(df.groupby("kind")["a"].sum())
    print(int(df.loc[2, "a"]), df.loc[0, "kind"])

    df["double"] = df["a"] * 2
    df.loc[0, "a"] = 10
    print(df.describe().loc["mean"])

    try:
        df["b"]
    except KeyError as error:
        print("KeyError:", error)

    # A table that a served package holds as a module variable.
    records = session.modules.garden.weather.records
    print(records.wettest(), records.by_season(how="max").to_dict())
    print(records.RAIN.loc[6:8, "millimetres"].tolist())
