// Everything that the pages do beyond links and forms; each module works by data- attributes.
import "./setup.js";
import "./confirm.js";
import "./copy.js";
import "./ended.js";
import "./filter.js";
import "./forms.js";
import "./keys.js";
import "./live.js";
import "./menus.js";
import "./present.js";
import "./select.js";
import "./theme.js";
import "./times.js";
import "./toasts.js";
