"""Modules of the server's standard library: values in, values out."""

import wsremote

with wsremote.connect() as session:
    json = session.modules.json
    print(json.dumps({"b": [1, 2.5, None], "a": "ü"}, sort_keys=True, ensure_ascii=False))
    print(json.loads('{"big": 1267650600228229401496703205376, "tiny": 1e-3}'))
    try:
        json.loads("{]")
    except json.JSONDecodeError as error:
        print("JSONDecodeError:", error, "at", error.pos)

    statistics = session.modules.statistics
    print(statistics.mean([1, 2, 6]), statistics.quantiles([3, 1, 4, 1, 5], n=4))
    heights = statistics.NormalDist(mu=170, sigma=10)
    print(heights, heights.stdev, round(heights.cdf(180), 3), heights + 5)

    decimal = session.modules.decimal
    print(decimal.Decimal("0.1") + decimal.Decimal("0.2"))
    context = decimal.getcontext()  # bound to the thread: the next call must meet it again
    context.prec = 6
    print(context.divide(1, 7), decimal.getcontext().prec)
