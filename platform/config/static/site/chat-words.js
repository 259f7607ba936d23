// People's words as they are shown: text nodes, links, a few marks and the names of those who are meant. Nothing of
// theirs ever becomes HTML. The marks are the ones people know from their phones, and only at the edges of words, so
// that 5*3*2 and snake_case stay what they are:
// *bold* or **bold**, _italic_, ~struck~ or ~~struck~~, `code`, ``` lines of code ```, > quoted, - a list.

const MARKS = { "*": "strong", "**": "strong", _: "em", "~": "s", "~~": "s" };
const INLINE =
  /`([^`\n]+)`|(https?:\/\/(?:\([^\s<>"'()]*\)|(?!\([^\s<>"'()]*\))[^\s<>"'])*(?:\([^\s<>"'()]*\)|[^\s<>"'.,:;!?()\]*_~]))|(?<![\p{L}\p{N}*_~])(\*\*|\*|_|~~|~)(?=[^\s])((?:(?!\3).)+?)(?<=[^\s])\3(?![\p{L}\p{N}*_~])/gu;
const FENCE = /(?:^|\n)```[^\n`]*\n([\s\S]*?)(?:\n```(?=\n|$)|$)\n?/u;
const QUOTED = /^> ?/u;
const LISTED = /^[-*•] /u;

const element = (name, ...children) => {
  const made = document.createElement(name);
  made.append(...children);
  return made;
};

// A text as nodes. `people`: [{id, name}] who are named in it with an @; `me`: the reader's id.
export function words(text, people = [], me = "") {
  return text.split(FENCE).flatMap((part, index) => (index % 2 ? [element("pre", element("code", part))] : blocks(part, people, me)));
}

function blocks(text, people, me) {
  const nodes = [];
  let group = { kind: "", lines: [] };
  const end = () => {
    const inside = (line) => inline(line, people, me);
    if (group.kind === "quote") nodes.push(element("blockquote", ...inside(group.lines.join("\n"))));
    else if (group.kind === "list") nodes.push(element("ul", ...group.lines.map((line) => element("li", ...inside(line)))));
    else if (group.lines.length) nodes.push(...inside(group.lines.join("\n")));
  };
  for (const line of text.split("\n")) {
    const kind = QUOTED.test(line) ? "quote" : LISTED.test(line) ? "list" : "";
    if (kind !== group.kind) {
      end();
      group = { kind, lines: [] };
    }
    group.lines.push(line.replace(kind === "quote" ? QUOTED : kind === "list" ? LISTED : "", ""));
  }
  end();
  return nodes;
}

function inline(text, people, me) {
  const nodes = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    const [all, code, address, mark, inside] = found;
    nodes.push(...named(text.slice(at, found.index), people, me));
    if (code) nodes.push(element("code", code));
    else if (address) nodes.push(link(address));
    else nodes.push(element(MARKS[mark], ...inline(inside, people, me)));
    at = found.index + all.length;
  }
  return [...nodes, ...named(text.slice(at), people, me)];
}

// Where it leads is what it says: a name in letters that look like others is shown as the machine reads it (apple.com in
// Cyrillic letters is xn--…), and what puts a name before an @ in front of the real one is no link at all.
function link(address) {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!url || url.username || url.password) return document.createTextNode(address);
  const host = address.split("/")[2];
  const shown = /^[\x21-\x7e]*$/u.test(host) ? address : address.replace(host, url.host);
  return Object.assign(element("a", shown), { href: address, rel: "nofollow noopener noreferrer ugc", target: "_blank" });
}

function named(text, people, me) {
  if (!text) return [];
  const one = people.toSorted((a, b) => b.name.length - a.name.length).find(({ name }) => text.includes(`@${name}`));
  if (!one) return [document.createTextNode(text)];
  const [before, ...rest] = text.split(`@${one.name}`);
  const name = element("span", `@${one.name}`);
  name.className = one.id === me ? "chat-named chat-named--me" : "chat-named";
  return [...named(before, people, me), name, ...named(rest.join(`@${one.name}`), people, me)];
}
