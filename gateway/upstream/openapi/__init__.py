"""HTTP APIs behind tools: a call becomes one request of the API, its answer one result.

`engine` does it, `requests` writes what leaves (with `styles` and `forms`), `results` reads what comes back, `refusals`
says what an API's no means. How a tool is called stands in its approved definition (`registry.openapi.plan`): no caller
says where a request goes. `describing` keeps the definitions of a described API true.
"""
