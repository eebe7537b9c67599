// A line and its outline light up together.
document.querySelectorAll(".label-card").forEach((card) => {
  const light = (event, on) => {
    const line = event.target.closest("[data-line]");
    if (!line) return;
    card.querySelectorAll(`[data-line="${line.dataset.line}"]`).forEach((each) => each.classList.toggle("lit", on));
  };
  card.addEventListener("mouseover", (event) => light(event, true));
  card.addEventListener("mouseout", (event) => light(event, false));
});
