// The viewer's style sheet, put into the page once.

const style = document.createElement("style");
style.textContent = `
.epistem-viewer { display: flex; flex-direction: column; width: 100%; min-width: 0; }
.epistem-viewer .stage { position: relative; height: 68vh; overflow: hidden; border-radius: 6px;
  background: rgb(12, 16, 22); font: 14px/1.35 system-ui, sans-serif; }
.epistem-viewer canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; touch-action: none;
  outline: none; cursor: grab; border-radius: 6px; }
.epistem-viewer canvas.add, .epistem-viewer canvas.region { cursor: crosshair; }
.epistem-viewer canvas.delete, .epistem-viewer canvas.confirm { cursor: pointer; }
.epistem-viewer canvas:focus-visible { outline: 3px solid #ffb000; outline-offset: -3px; }
.epistem-viewer .key, .epistem-viewer .help, .epistem-viewer .message { position: absolute; color: white;
  background: rgba(12, 16, 22, 0.78); border-radius: 5px; padding: 6px 10px; }
.epistem-viewer .key { left: 10px; top: 10px; pointer-events: none; font-size: 13px; }
.epistem-viewer .ramp { width: 130px; height: 9px; border-radius: 2px; margin: 3px 0 2px; }
.epistem-viewer .ends { display: flex; justify-content: space-between; }
.epistem-viewer .key .line { display: flex; align-items: center; gap: 7px; }
.epistem-viewer .buttons { position: absolute; right: 10px; top: 10px; display: flex; flex-direction: column;
  gap: 6px; }
.epistem-viewer .buttons button { min-width: 40px; height: 40px; padding: 0 6px; font: 600 17px system-ui, sans-serif;
  color: white; background: rgba(12, 16, 22, 0.78); border: 1px solid rgba(255, 255, 255, 0.35); border-radius: 5px;
  cursor: pointer; }
.epistem-viewer .buttons button.whole { font-size: 14px; }
.epistem-viewer .buttons button:hover { background: rgb(60, 68, 80); }
.epistem-viewer .buttons button:focus-visible { outline: 3px solid #ffb000; }
.epistem-viewer .help { left: 10px; right: 60px; bottom: 10px; max-width: 520px; max-height: 75%; overflow: auto;
  background: rgba(12, 16, 22, 0.93); }
.epistem-viewer .help table { border-spacing: 0; }
.epistem-viewer .help th { text-align: left; white-space: nowrap; padding: 1px 14px 1px 0; vertical-align: baseline; }
.epistem-viewer .help td { vertical-align: baseline; }
.epistem-viewer .message { left: 50%; top: 50%; transform: translate(-50%, -50%); max-width: 85%; font-size: 15px; }
.epistem-viewer .status { padding: 6px 2px 0; font-size: 14px; line-height: 1.35; min-height: 3.3em; }
@media (max-width: 600px) {
  .epistem-viewer .stage { height: 55vh; }
  .epistem-viewer .ramp { width: 96px; }
  .epistem-viewer .help { right: 10px; }
}
`;
document.head.append(style);
