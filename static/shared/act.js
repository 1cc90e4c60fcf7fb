// Runs the action of a button or key, whose failure ends in a message.
import { say } from "./dom.js";
import { LoggedOut } from "./session.js";

let onLoggedOut = () => undefined;

// Calls `listener(message)` when an action finds that the session has ended.
export const whenLoggedOut = (listener) => (onLoggedOut = listener);

export function act(work) {
  return async (...given) => {
    try {
      return await work(...given);
    } catch (error) {
      if (error instanceof LoggedOut) onLoggedOut(error.message);
      else say(error.message, 15);
      return null;
    }
  };
}
