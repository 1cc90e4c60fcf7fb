"use strict";
// Light and dark colours, as on the other pages: the system's choice, unless a button of theirs has changed it.
// The script is in the head, so that the page never shows in other colours first.

const dark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  let chosen = null;
  try {
    chosen = localStorage.getItem("task-platform-theme");
  } catch {
    // This browser stores nothing.
  }
  return (chosen || (dark.matches ? "dark" : "light")) === "dark";
}

const paint = () => document.documentElement.classList.toggle("dark-mode", isDark());
paint();
