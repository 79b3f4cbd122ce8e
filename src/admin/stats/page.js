for(const head of document.querySelectorAll("thead th[data-sort]"))head.addEventListener("click",()=>{
const table=head.closest("table"),column=[...head.parentNode.children].indexOf(head);
const up=head.getAttribute("aria-sort")!=="ascending";
for(const other of head.parentNode.children)other.removeAttribute("aria-sort");
head.setAttribute("aria-sort",up?"ascending":"descending");
const body=table.querySelector("tbody.servers");if(!body)return;
const key=row=>{const cell=row.children[column];return cell?(cell.dataset.value??cell.textContent.trim()):""};
const rows=[...body.rows].sort((a,b)=>{const x=key(a),y=key(b),n=Number(x)-Number(y);
return(x!==""&&y!==""&&!Number.isNaN(n)?n:x.localeCompare(y))*(up?1:-1)});
body.append(...rows)});
for(const all of document.querySelectorAll("input[data-all]"))all.addEventListener("change",()=>{
for(const box of all.closest("form").querySelectorAll("input[name=s]"))box.checked=all.checked});
