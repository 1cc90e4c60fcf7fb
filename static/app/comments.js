// Comments on a task.
import { act } from "../shared/act.js";
import { completed } from "../shared/completing.js";
import { h, say } from "../shared/dom.js";
import { number } from "../shared/format.js";
import * as api from "./api.js";
import { confirmed } from "./dialog.js";
import { avatar } from "./icons.js";
import { sendText } from "./kept.js";
import { may, membersOf, model } from "./model.js";
import { pastLoader } from "./page.js";
import { passed } from "./words.js";

const MENTION = /@[A-Za-z0-9._-]*$/;

// The members of the task's project, after an `@`.
async function mentionable(task, begun) {
  if (!begun) return [];
  return (await membersOf(task.project_id)).map((each) => `@${each.username}`);
}

// Addresses without the punctuation behind them, and mentioned names.
const MARKED =
  /(https?:\/\/\S*[^\s.,;:!?'")\]}>])|((?<![A-Za-z0-9._@-])@[A-Za-z0-9._-]*[A-Za-z0-9_-])/;

// The names, in lower case, of those who see a task: other names mention nobody.
async function namesOf(task) {
  const people = task.project_id ? await membersOf(task.project_id) : [model.me];
  return new Set(people.map((each) => each.username.toLowerCase()));
}

// The length of the longest username.
const LONGEST = 50;

// Whether a mention means one of the names. Signs at its end may belong to the sentence.
function isMeant(mention, names) {
  for (let length = mention.length; ; length--) {
    if (length <= LONGEST && names.has(mention.slice(0, length))) return true;
    if (!"._-".includes(mention[length - 1] || " ")) return false;
  }
}

// The text of a comment, in which addresses are links and mentioned names stand out.
function marked(text, names) {
  const parts = text.split(MARKED);
  return parts.map((part, at) => {
    if (!part || at % 3 === 0) return part || "";
    if (at % 3 === 2) {
      const hasMeaning = isMeant(part.slice(1).toLowerCase(), names);
      return hasMeaning ? h("strong", { className: "mention" }, part) : part;
    }
    return h("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part);
  });
}

// The forms of the comments that are being changed, by the comment's id: the list may be loaded again meanwhile.
const changing = new Map();

export function commentList(task) {
  const list = h("ol", { className: "comments" });
  const title = h("h3", {}, "Comments");
  const ask = async (most) => {
    const [found, names] = await Promise.all([api.comments.list(task.id, most), namesOf(task)]);
    return { ...found, names };
  };
  // The entries that were made, by the comment's id: one new comment among a thousand is one new entry.
  const made = new Map();
  const entryOf = (comment, names, common) => {
    const version = JSON.stringify(comment) + common;
    if (made.get(comment.id)?.version !== version)
      made.set(comment.id, { version, element: one(task, comment, names, load) });
    return made.get(comment.id).element;
  };
  const entriesOf = ({ rows, hasEarlier, names }) => {
    // The names stand out in all comments, and a time is told in the words of the day.
    const common = [...names, new Date().toDateString()].join(" ");
    const shown = `${hasEarlier ? "the newest " : ""}${number(rows.length)}`;
    title.textContent = rows.length ? `Comments (${shown})` : "Comments";
    return rows.map((comment) => entryOf(comment, names, common));
  };
  const load = pastLoader(list, "comments", ask, entriesOf);
  load();
  const text = h("textarea", {
    name: "comment",
    rows: 2,
    maxLength: 10000,
    required: true,
    placeholder: "Write a comment; @name tells somebody",
    "aria-label": "Comment",
    "data-keep": "1",
    onkeydown: sendByKey,
  });
  const form = h(
    "form",
    {
      className: "stack",
      onsubmit: act(async (event) => {
        event.preventDefault();
        await sendText(task.id, text, (value) => api.comments.create(task.id, value));
        await load();
      }),
    },
    h(
      "div",
      { className: "offering" },
      text,
      completed(text, "Who could be meant", MENTION, (_, begun) => mentionable(task, begun)),
    ),
    h("p", { className: "buttons" }, h("button", { type: "submit" }, "Comment")),
  );
  const element = h(
    "section",
    { className: "talk" },
    title,
    list,
    may("member", task.project_id) ? form : null,
  );
  element.load = load;
  return element;
}

const sendByKey = (event) =>
  (event.ctrlKey || event.metaKey) && event.key === "Enter" && event.target.form.requestSubmit();

function one(task, comment, names, load) {
  const isMine = comment.author_id === model.me.id;
  const mayDelete = isMine || may("manager", task.project_id);
  const body = h("p", { className: "said" }, marked(comment.text, names));
  const edit = () => {
    // A second click is not to begin again beside what was typed.
    if (changing.has(comment.id)) return changing.get(comment.id).querySelector("textarea").focus();
    const area = h("textarea", {
      value: comment.text,
      rows: 3,
      maxLength: 10000,
      "aria-label": "Comment",
      required: true,
      onkeydown(event) {
        sendByKey(event);
        if (event.key !== "Escape" || event.isComposing || area.value !== comment.text) return;
        event.stopPropagation();
        end();
      },
    });
    const end = async () => {
      const hadFocus = form.contains(document.activeElement);
      changing.delete(comment.id);
      await form.closest(".talk")?.load();
      // An entry that was not changed is still there, with the form.
      form.replaceWith(body);
      if (hadFocus) document.querySelector(`#comment-${comment.id} .link`)?.focus({ preventScroll: true });
    };
    const form = h(
      "form",
      {
        className: "stack",
        onsubmit: act(
          async (event) => (
            event.preventDefault(),
            await api.comments.change(task.id, comment.id, area.value),
            await end()
          ),
        ),
      },
      area,
      h(
        "p",
        { className: "buttons" },
        h("button", { type: "button", onclick: end }, "Cancel"),
        h("button", { type: "submit" }, "Save"),
      ),
    );
    changing.set(comment.id, form);
    body.replaceWith(form);
    area.focus();
    return null;
  };
  const remove = act(async () => {
    if (!(await confirmed("Delete the comment?", "It can't be brought back.", "Delete"))) return;
    await api.comments.remove(task.id, comment.id);
    say("The comment is deleted.");
    await load();
  });
  return h(
    "li",
    { id: `comment-${comment.id}` },
    h(
      "p",
      { className: "by" },
      comment.author ? avatar(comment.author) : null,
      h("strong", {}, comment.author || "somebody who has left"),
      passed(comment.created_at),
      comment.edited_at ? h("span", { className: "muted" }, "edited") : null,
      isMine ? h("button", { type: "button", className: "link", onclick: edit }, "Edit") : null,
      mayDelete ? h("button", { type: "button", className: "link", onclick: remove }, "Delete") : null,
    ),
    (isMine && changing.get(comment.id)) || body,
  );
}
