"""The exchange's public history over REST, and how it becomes tables.

`download` fetches, `parse` is the only place that knows the exchange's field names, `client` talks
HTTP within the `limits` of the account, `auth` signs.
"""
