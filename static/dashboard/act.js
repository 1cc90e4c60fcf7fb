// Runs the action of a button, whose failure ends in a message.
import { say } from "../shared/dom.js";
import { LoggedOut } from "../shared/session.js";

let onLoggedOut = () => undefined;

export function whenLoggedOut(listener) {
  onLoggedOut = listener;
}

export function act(work) {
  return async (event) => {
    try {
      return await work(event);
    } catch (error) {
      if (error instanceof LoggedOut) onLoggedOut();
      else say(error.message, 15);
      return null;
    }
  };
}
