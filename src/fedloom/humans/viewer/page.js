// The page's own part: it reads the people that it holds, shows one of them, and does what its buttons and keys say. THREE is three.js.
"use strict";

(() => {
  const LAYERS = ["body", "hair", "upper", "lower", "shoes"];
  const GARMENTS = ["upper", "lower"];
  const MANNEQUIN = new THREE.Color("#c3c7cc");
  const MARKED = new THREE.Color("#e0218a");
  const UNDER = 0.015; // metres, as in pictures.py
  const TURN = 0.12; // of a key, in radians
  const ZOOM = 0.9;

  const element = (id) => document.getElementById(id);
  const people = JSON.parse(element("people").textContent);
  const canvas = element("canvas");
  const hidden = new Set();
  const shown = { person: 0, inferred: false, skin: false };
  const uniforms = { marked: { value: 0 }, bare: { value: 1 } };

  let frame = null;
  let turned = false; // by its user: from then on all tabs are seen from one place
  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true });
  } catch {
    element("status").textContent = "This browser shows no 3D: WebGL is off or missing.";
    return;
  }
  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(28, 1, 0.05, 50);
  const controls = new THREE.OrbitControls(camera, canvas);
  controls.addEventListener("change", draw);
  scene.add(new THREE.HemisphereLight("#ffffff", "#b9b4ae", 2), camera);
  const lamp = new THREE.DirectionalLight("#ffffff", 1.7);
  lamp.position.set(-1.5, 2, 2.5); // beside the camera, which carries it
  camera.add(lamp, lamp.target);
  lamp.target.position.set(0, 0, -3);

  buildButtons();
  new ResizeObserver(resize).observe(element("view"));
  controls.addEventListener("start", () => (turned = true));
  select(0);

  async function select(number) {
    shown.person = number;
    const person = people[number];
    element("status").textContent = person.group ? "" : "Loading";
    try {
      person.group ??= await read(person.glb);
    } catch (error) {
      element("status").textContent = `${person.name} cannot be shown: ${error.message}`;
      return;
    }
    if (shown.person !== number) return; // another was chosen meanwhile
    for (const other of people) if (other.group) scene.remove(other.group);
    scene.add(person.group);
    element("status").textContent = "";
    if (!turned) reset();
    update();
  }

  async function read(base64) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const file = await new THREE.GLTFLoader().parseAsync(bytes.buffer, "");
    const group = new THREE.Group();
    group.worn = {};
    for (const node of [...file.scene.children]) {
      if (!node.isMesh || !LAYERS.includes(node.name)) continue;
      paint(node);
      group.add(node);
      group.worn[node.name] = node;
    }
    if (!group.children.length) throw new Error("its file holds no layer of a person");
    group.add(floor(new THREE.Box3().setFromObject(group)));
    return group;
  }

  // The material: the file's colours, or the mannequin's on the body, with inferred parts marked.
  function paint(mesh) {
    const geometry = mesh.geometry;
    const given = geometry.getAttribute("_inferred");
    const none = () => new THREE.BufferAttribute(new Float32Array(geometry.getAttribute("position").count), 1);
    geometry.setAttribute("inferred", given ?? none());
    const map = mesh.material.map;
    const colours = Boolean(geometry.getAttribute("color"));
    const isBody = mesh.name === "body";
    const plain = !map && !colours ? MANNEQUIN : "#ffffff";
    mesh.material = new THREE.MeshLambertMaterial({ map, vertexColors: colours, color: plain, side: THREE.DoubleSide });
    mesh.material.customProgramCacheKey = () => `layer ${isBody}`;
    mesh.material.onBeforeCompile = (shader) => {
      const constants = { mannequin: { value: MANNEQUIN }, mark: { value: MARKED } };
      Object.assign(shader.uniforms, uniforms, constants);
      // The body is drawn as if it lay farther away, so that it does not show where it sticks out of a garment a little.
      const under = `vec4 back = projectionMatrix * (mvPosition - vec4(0.0, 0.0, ${UNDER}, 0.0));\ngl_Position.z = back.z / back.w * gl_Position.w;`;
      shader.vertexShader = shader.vertexShader
        .replace("void main() {", "attribute float inferred;\nvarying float isInferred;\nvoid main() {\nisInferred = inferred;")
        .replace("#include <project_vertex>", `#include <project_vertex>\n${isBody ? under : ""}`);
      const neutral = isBody ? "diffuseColor.rgb = mix(diffuseColor.rgb, mannequin, max(bare, isInferred));" : "";
      shader.fragmentShader = shader.fragmentShader
        .replace("void main() {", "uniform float marked, bare;\nuniform vec3 mannequin, mark;\nvarying float isInferred;\nvoid main() {")
        .replace(
          "#include <color_fragment>",
          `#include <color_fragment>\n${neutral}\ndiffuseColor.rgb = mix(diffuseColor.rgb, mark, 0.85 * marked * isInferred);`,
        );
    };
  }

  function floor(box) {
    const centre = box.getCenter(new THREE.Vector3());
    const disc = new THREE.Mesh(new THREE.CircleGeometry(0.45, 64), new THREE.MeshBasicMaterial({ color: "#e6e9ed" }));
    disc.rotation.x = -Math.PI / 2;
    disc.position.set(centre.x, box.min.y - 0.004, centre.z);
    return disc;
  }

  function reset() {
    const group = people[shown.person].group;
    if (!group) return;
    turned = false;
    const box = new THREE.Box3().setFromObject(group);
    const size = box.getSize(new THREE.Vector3());
    const half = Math.tan((camera.fov * Math.PI) / 360);
    const distance = Math.max(size.y / 2 / half, Math.hypot(size.x, size.z) / 2 / (half * camera.aspect)) * 1.1 + size.z / 2;
    box.getCenter(controls.target);
    camera.position.copy(controls.target).add(new THREE.Vector3(0, 0.08, 1).setLength(distance));
    controls.minDistance = distance / 10;
    controls.maxDistance = distance * 3;
    controls.update();
    draw();
  }

  function update() {
    const layers = people[shown.person].group?.worn ?? {};
    for (const [name, mesh] of Object.entries(layers)) mesh.visible = !hidden.has(name);
    // Skin has its colours only where the photographs show it, and only while the person is dressed.
    const garments = GARMENTS.filter((name) => name in layers);
    const dressed = garments.length > 0 && garments.every((name) => !hidden.has(name));
    uniforms.bare.value = shown.skin && dressed ? 0 : 1;
    uniforms.marked.value = shown.inferred ? 1 : 0;
    for (const button of element("layers").children) label(button, layers[button.dataset.layer]);
    element("inferred").setAttribute("aria-pressed", shown.inferred);
    element("skin").setAttribute("aria-pressed", shown.skin && dressed);
    element("skin").disabled = !dressed || !("body" in layers);
    for (const [number, tab] of [...element("tabs").children].entries()) {
      tab.setAttribute("aria-selected", number === shown.person);
      tab.tabIndex = number === shown.person ? 0 : -1;
    }
    element("view").setAttribute("aria-label", people[shown.person].name);
    draw();
  }

  function label(button, mesh) {
    const share = mesh?.userData.inferred_share;
    button.disabled = !mesh;
    button.setAttribute("aria-pressed", Boolean(mesh) && !hidden.has(button.dataset.layer));
    const loaded = Boolean(people[shown.person].group);
    button.querySelector(".share").textContent = loaded && !mesh ? "none" : share ? `${Math.round(share * 100)} % inferred` : "";
  }

  function buildButtons() {
    for (const name of LAYERS) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "layer";
      button.dataset.layer = name;
      button.innerHTML = `<span class="swatch"></span>${name}<span class="share"></span>`;
      button.addEventListener("click", () => toggle(name));
      element("layers").append(button);
    }
    for (const [number, person] of people.entries()) {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", "view");
      tab.textContent = person.name;
      tab.addEventListener("click", () => select(number));
      element("tabs").append(tab);
    }
    element("tabs").hidden = people.length < 2;
    element("tabs").addEventListener("keydown", moveTab);
    element("inferred").addEventListener("click", () => flip("inferred"));
    element("skin").addEventListener("click", () => flip("skin"));
    element("reset").addEventListener("click", reset);
    canvas.addEventListener("keydown", press);
  }

  function toggle(name) {
    if (!hidden.delete(name)) hidden.add(name);
    update();
  }

  function flip(what) {
    shown[what] = !shown[what];
    update();
  }

  function moveTab(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const number = (shown.person + step + people.length) % people.length;
    element("tabs").children[number].focus();
    select(number);
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const name = LAYERS[Number(event.key) - 1];
    const actions = {
      ArrowLeft: () => orbit(-TURN, 0, 1),
      ArrowRight: () => orbit(TURN, 0, 1),
      ArrowUp: () => orbit(0, -TURN, 1),
      ArrowDown: () => orbit(0, TURN, 1),
      "+": () => orbit(0, 0, ZOOM),
      "=": () => orbit(0, 0, ZOOM),
      "-": () => orbit(0, 0, 1 / ZOOM),
      0: reset,
    };
    const action = actions[event.key] ?? (name && name in people[shown.person].group?.worn ? () => toggle(name) : null);
    if (!action) return;
    event.preventDefault();
    action();
  }

  function orbit(around, down, nearer) {
    const place = new THREE.Spherical().setFromVector3(camera.position.clone().sub(controls.target));
    place.theta += around;
    place.phi += down;
    place.radius *= nearer;
    place.makeSafe();
    camera.position.setFromSpherical(place).add(controls.target);
    turned = true;
    controls.update();
    draw();
  }

  function resize() {
    const { clientWidth, clientHeight } = element("view");
    if (!clientWidth || !clientHeight) return;
    renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    renderer.setSize(clientWidth, clientHeight, false);
    camera.aspect = clientWidth / clientHeight;
    camera.updateProjectionMatrix();
    draw();
  }

  // Once per frame, however much has changed.
  function draw() {
    frame ??= requestAnimationFrame(() => {
      frame = null;
      renderer.render(scene, camera);
    });
  }
})();
