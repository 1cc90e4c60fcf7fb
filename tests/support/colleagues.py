"""People who work at once in their browsers by keys and clicks, each in a page of `/app`."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, CDPSession, ConsoleMessage, Page, Response
from playwright.async_api import Error as PlaywrightError

from tests.support.api import PASSWORD

# A step fails if a colleague has just deleted the task, so it waits for a short time only.
STEP_MS = 10_000
START_MS = 90_000
# The module of the page that holds its tasks, found beside the page's own script.
STORE = "import(document.querySelector('script[type=module]').src.replace('main.js', 'store.js'))"
TASKS = f"async () => (await {STORE}).all().map((task) => [task.id, task])"
# Rows and cards whose text differs from the task that the page holds.
WRONG_ROWS = f"""async () => {{
    const store = await {STORE};
    return [...document.querySelectorAll('.row, .columns .task')].filter((row) => {{
        const task = store.get(row.dataset.id);
        const isDone = task?.status === 'completed';
        return task?.title !== row.querySelector('.title').textContent
            || isDone !== row.classList.contains('done')
            || (row.closest('.column')?.dataset.key ?? task.state) !== task.state;
    }}).map((row) => row.textContent);
}}"""
PICK = """(at) => {
    const shown = [...document.querySelectorAll('.row, .columns .task')].filter((row) => {
        const box = row.getBoundingClientRect();
        return box.top > 150 && box.bottom < innerHeight - 120 && box.left >= 0 && box.right <= innerWidth;
    });
    return shown.length ? shown[Math.floor(at * shown.length)].dataset.id : null;
}"""


@dataclass
class Colleague:
    """One person in a browser profile of their own."""

    name: str
    page: Page
    session: CDPSession
    chance: random.Random
    changes_layout: bool
    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    number: int = 0

    @classmethod
    async def arrive(
        cls, browser: Browser, base_url: str, name: str, path: str, *, changes: bool
    ) -> "Colleague":
        """Log in, and wait until the page follows what others do."""
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(START_MS)
        page = await context.new_page()
        session = await context.new_cdp_session(page)
        # Not the built-in hash of the name, which differs from run to run.
        found = cls(name, page, session, random.Random(name), changes)  # noqa: S311
        page.on("console", found.note_console)
        page.on("response", found.note_answer)
        page.on("pageerror", lambda error: found.errors.append(str(error)))
        await page.goto(base_url + path)
        await page.get_by_label("Username or email").fill(name)
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.locator("#live", has_text="Live").wait_for()
        await page.locator(".row, .columns .task").first.wait_for()
        return found

    def note_console(self, said: ConsoleMessage) -> None:
        """Keep errors, except those of answers, which are kept with their requests."""
        if said.type == "error" and not said.text.startswith("Failed to load resource"):
            self.errors.append(said.text)

    def note_answer(self, answer: Response) -> None:
        """Keep what the server refused."""
        if answer.status >= 400:
            self.refused.append((answer.status, answer.request.method, answer.url))

    async def work(self, until: float) -> None:
        """Take one step after the other until the time is over."""
        steps = [
            (self.create, 4), (self.edit, 2), (self.rename, 4), (self.complete, 3), (self.move, 5), (self.comment, 2),
            (self.delete, 2), (self.change_many, 2), (self.undo, 1), (self.scroll, 2),
        ]  # fmt: skip
        if self.changes_layout:
            steps.append((self.change_layout, 1))
        self.page.set_default_timeout(STEP_MS)
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            (step,) = self.chance.choices([each for each, _ in steps], [weight for _, weight in steps])
            try:
                await step()
                self.done[step.__name__] += 1
            except PlaywrightError:
                self.failed[step.__name__] += 1
                await self.leave()
        await self.leave()

    async def leave(self) -> None:
        """Close dialogs and the panel, and unmark all tasks."""
        for _ in range(3):
            await self.page.keyboard.press("Escape")

    async def hold(self) -> str:
        """Put the focus on one of the tasks in sight, and return its selector."""
        task_id = await self.page.evaluate(PICK, self.chance.random())
        if task_id is None:
            raise PlaywrightError("nothing in sight")
        selector = f'main [data-id="{task_id}"]'
        await self.page.locator(selector).focus()
        return selector

    def words(self, what: str) -> str:
        self.number += 1
        return f"{what} {self.number} of {self.name}"

    # -- steps ---------------------------------------------------------------------------------------

    async def create(self) -> None:
        await self.page.get_by_label("Add a task").fill(self.words("Made") + " #new !2 due:tomorrow")
        await self.page.keyboard.press("Enter")
        await self.leave()

    async def edit(self) -> None:
        await self.page.locator(await self.hold()).locator(".title").click()
        title = self.page.locator("#panel .task-title")
        await title.fill(self.words("Edited"))
        await title.press("Enter")
        await self.leave()

    async def rename(self) -> None:
        """Edit a title in its row, or on the board in the panel."""
        await self.page.locator(await self.hold()).press("e")
        title = self.page.locator(".row .edit, #panel .task-title")
        await title.fill(self.words("Renamed"))
        await title.press("Enter")
        await self.leave()

    async def complete(self) -> None:
        await self.page.locator(await self.hold()).locator("button.state").click()

    async def move(self) -> None:
        selector = await self.hold()
        if "layout=board" in self.page.url:
            await self.page.locator(selector).press(f"Shift+Arrow{self.chance.choice(['Right', 'Left'])}")
        else:
            await self.page.keyboard.press("s")
            await self.page.get_by_role("menuitem").nth(self.chance.randrange(3)).click()

    async def comment(self) -> None:
        await self.page.locator(await self.hold()).locator(".title").click()
        panel = self.page.locator("#panel")
        await panel.get_by_label("Comment").fill(self.words("Said"))
        await panel.get_by_role("button", name="Comment").click()
        await self.leave()

    async def delete(self) -> None:
        await self.page.locator(await self.hold()).press("Delete")

    async def change_many(self) -> None:
        await self.hold()
        await self.page.keyboard.press("x")
        for _ in range(self.chance.randrange(1, 5)):
            await self.page.keyboard.press("Shift+ArrowDown")
        await self.page.keyboard.press(self.chance.choice(["1", "4", "d", "l", "Delete"]))
        if await self.page.locator("dialog").count():
            await self.page.keyboard.type(self.chance.choice(["later", "soon", "web"]))
            await self.page.keyboard.press("Enter")
        await self.leave()

    async def undo(self) -> None:
        await self.page.keyboard.press("z")

    async def scroll(self) -> None:
        await self.page.mouse.move(700, 500)
        await self.page.mouse.wheel(0, self.chance.choice([-600, 600, 2400]))

    async def change_layout(self) -> None:
        await self.page.keyboard.press("v")
        await self.page.locator(".row, .columns .task").first.wait_for()

    # -- the state of the page --------------------------------------------------------------------------

    async def tasks(self) -> dict[int, dict[str, Any]]:
        """The tasks that the page holds, by id."""
        found: list[tuple[int, dict[str, Any]]] = await self.page.evaluate(TASKS)
        return dict(found)

    async def wrong_rows(self) -> list[str]:
        """The drawn rows that differ from the tasks that the page holds."""
        found: list[str] = await self.page.evaluate(WRONG_ROWS)
        return found

    async def memory(self) -> tuple[int, int]:
        """The bytes of the page's objects after a collection of garbage, and its number of nodes."""
        await self.session.send("HeapProfiler.collectGarbage")
        counters = await self.session.send("Runtime.getHeapUsage")
        nodes = await self.session.send("Memory.getDOMCounters")
        return int(counters["usedSize"]), int(nodes["nodes"])
