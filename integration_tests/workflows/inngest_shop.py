"""Inngest functions of a shop, as tests of their runner use them."""

import logging
from datetime import timedelta

import inngest

client = inngest.Inngest(app_id="shop", is_production=False)
log = logging.getLogger("shop")


class StockError(Exception):
    pass


def function(fn_id, event="shop/order", **options):
    trigger = options.pop("trigger", None) or inngest.TriggerEvent(event=event)
    return client.create_function(fn_id=fn_id, trigger=trigger, **options)


@function("ship", retries=1)
async def ship(ctx):
    await ctx.step.sleep("cool down", timedelta(days=30))

    async def charge():
        return {"cents": ctx.event.data["cents"], "lines": [{"sku": "tea"}]}

    async def pack(box):
        log.warning("packing %s", box)
        return box

    paid = await ctx.step.run("charge", charge)
    boxes = await ctx.group.parallel((lambda: ctx.step.run("pack", pack, "a"), lambda: ctx.step.run("pack", pack, "b")))
    return {"paid": paid["cents"], "boxes": sorted(boxes)}


@function("broken", retries=2)
async def broken(ctx):
    async def look():
        raise StockError(f"none of {ctx.event.data['sku']}")

    async def first():
        return 1

    await ctx.step.run("first", first)
    await ctx.step.run("look", look)
