"""The same API the way most tutorials write it, as a peer to compare with.

A sync `get_db` with `yield`, a sync `get_current_user` that decodes the token and queries the
user, ORM objects through `response_model`, `def` endpoints, the engine's default pool. It keeps
no history, notifies nobody and counts nothing, so the comparison leans its way.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import bcrypt
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from jose import JWTError, jwt
from pydantic import BaseModel
from sqlalchemy import JSON, DateTime, ForeignKey, Index, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from benchmarks.bare_app import TaskCreate, TaskRead, TaskUpdate

KEY = os.environ["SECRET_KEY"]
ROUNDS = int(os.environ.get("BCRYPT_ROUNDS", "12"))
URL = os.environ["DATABASE_URL"]

engine = create_engine(URL, connect_args={"check_same_thread": False} if URL.startswith("sqlite") else {})
SessionLocal = sessionmaker(engine, autoflush=False)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str] = mapped_column(unique=True)
    hashed_password: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)


class Task(Base):
    __tablename__ = "tasks"
    __table_args__ = (Index("ix_tasks_owner", "user_id", "created_at", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str]
    priority: Mapped[int]
    project: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(JSON)
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True),
        default=lambda: datetime.now(UTC),
        onupdate=lambda: datetime.now(UTC),
    )
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))


Base.metadata.create_all(engine)


def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


Db = Annotated[Session, Depends(get_db)]
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="/auth/login")


def get_current_user(token: Annotated[str, Depends(oauth2_scheme)], db: Db) -> User:
    try:
        name = jwt.decode(token, KEY, algorithms=["HS256"])["sub"]
    except JWTError as error:
        raise HTTPException(401, "Invalid token") from error
    user = db.query(User).filter(User.username == name).first()
    if user is None:
        raise HTTPException(401, "User not found")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]
# All endpoints except create, because the app for threaded writes has its own.
router = APIRouter()


class Account(BaseModel):
    username: str
    email: str
    password: str


@router.post("/auth/register")
def register(account: Account, db: Db) -> dict[str, Any]:
    hashed = bcrypt.hashpw(account.password.encode(), bcrypt.gensalt(ROUNDS)).decode()
    user = User(username=account.username, email=account.email, hashed_password=hashed)
    db.add(user)
    db.commit()
    db.refresh(user)
    return {"id": user.id, "username": user.username, "email": user.email}


@router.post("/auth/login")
def login(form: Annotated[OAuth2PasswordRequestForm, Depends()], db: Db) -> dict[str, str]:
    user = db.query(User).filter(User.username == form.username).first()
    if user is None or not bcrypt.checkpw(form.password.encode(), user.hashed_password.encode()):
        raise HTTPException(401, "Invalid credentials")
    claims = {"sub": user.username, "exp": datetime.now(UTC) + timedelta(minutes=30)}
    return {"access_token": jwt.encode(claims, KEY, algorithm="HS256"), "token_type": "bearer"}


def own_task(task_id: int, user: User, db: Session) -> Task:
    task = db.query(Task).filter(Task.id == task_id, Task.user_id == user.id).first()
    if task is None:
        raise HTTPException(404, "Task not found")
    return task


@router.get("/tasks", response_model=list[TaskRead])
def list_tasks(user: CurrentUser, db: Db, skip: int = 0, limit: int = 100) -> object:
    mine = db.query(Task).filter(Task.user_id == user.id)
    return mine.order_by(Task.created_at.desc(), Task.id.desc()).offset(skip).limit(limit).all()


@router.get("/tasks/{task_id}", response_model=TaskRead)
def get_task(task_id: int, user: CurrentUser, db: Db) -> object:
    return own_task(task_id, user, db)


@router.patch("/tasks/{task_id}", response_model=TaskRead)
def update_task(task_id: int, body: TaskUpdate, user: CurrentUser, db: Db) -> object:
    task = own_task(task_id, user, db)
    for name, value in body.model_dump(exclude_unset=True).items():
        setattr(task, name, value)
    db.commit()
    db.refresh(task)
    return task


app = FastAPI()
app.include_router(router)


@app.post("/tasks", response_model=TaskRead, status_code=201)
def create_task(body: TaskCreate, user: CurrentUser, db: Db) -> object:
    task = Task(**body.model_dump(), user_id=user.id)
    db.add(task)
    db.commit()
    db.refresh(task)
    return task
