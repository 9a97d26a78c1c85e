"""The first lines: a package that is not installed here, used as if it were.

python3 examples/run.py runs all examples; by hand it is: wsremote serve pandas
"""

import wsremote

session = wsremote.connect()  # WSREMOTE_URL and WSREMOTE_TOKEN, or both as arguments
pd = session.modules.pandas

rain = pd.DataFrame({"city": ["Rome", "Oslo", "Rome"], "mm": [3, 8, 5]})
print(rain.groupby("city")["mm"].mean())
print("wettest:", int(rain["mm"].max()), "mm")

session.close()
