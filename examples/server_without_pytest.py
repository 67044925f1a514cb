import httpx

from steprig import UvicornTestServer


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"OK"})


with UvicornTestServer(app, lifespan="off") as server:
    assert httpx.get(server.base_url).text == "OK"
