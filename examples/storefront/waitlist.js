// Send the form, and show what the back end says. STOQ is called by the back end alone: it paces
// and retries, and tells a duplicate from a refusal.
const form = document.querySelector("#waitlist");
const [button, output] = form.querySelectorAll("button, output");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  // A second click would only be a duplicate.
  button.disabled = true;
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      signal: AbortSignal.timeout(15_000),
    });
    output.value = (await answer.json()).message;
    button.disabled = answer.ok;
  } catch {
    output.value = "Please try later.";
    button.disabled = false;
  }
});
